-- Drives Neovim with the documented configuration; writes what it saw to $EDITOR_TEST_RESULT as JSON.

local seen = { ended = false, selected = {}, quickfix = {} }
local root = vim.fn.getcwd()

local function wait(what, condition)
  if not vim.wait(60000, condition, 20) then
    error("no " .. what .. " within a minute")
  end
end

local function mosearch()
  for _, client in pairs((vim.lsp.get_clients or vim.lsp.get_active_clients)()) do
    if client.name == "mosearch" and (client.initialized or client.server_capabilities) then
      return client
    end
  end
end

vim.lsp.handlers["$/progress"] = function(_, message)
  seen.kinds = seen.kinds or {}
  seen.kinds[message.value.kind] = true
  seen.ended = seen.ended or message.value.kind == "end"
end

vim.ui.select = function(items, options, choose)
  for _, item in ipairs(items) do
    -- Code actions come in one shape or another, by version.
    table.insert(seen.selected, options.format_item and options.format_item(item) or "")
  end
  choose(items[1], 1)
end

local function run()
  vim.cmd("edit " .. vim.fn.fnameescape(root .. "/src/net/client.py"))
  wait("server", mosearch)
  local client = mosearch()
  seen.encoding = client.offset_encoding
  wait("index", function()
    return seen.ended
  end)

  local answers = vim.lsp.buf_request_sync(0, "workspace/symbol", { query = "?retry when busy" }, 60000)
  seen.symbols = {}
  for _, answer in pairs(answers) do
    for _, symbol in ipairs(answer.result or {}) do
      table.insert(seen.symbols, symbol.name)
    end
  end

  -- Typed, not saved, after characters that encodings count differently.
  vim.cmd("edit " .. vim.fn.fnameescape(root .. "/src/größe.py"))
  vim.wait(200)
  vim.api.nvim_buf_set_lines(0, 0, -1, false, { "名 = '👍🏽 é'", "def quersumme(zahl):", "    return sum(zahl)  # 漢 👩‍💻" })
  vim.api.nvim_buf_set_text(0, 0, 15, 0, 15, { " ✓" })
  local lines = vim.api.nvim_buf_get_lines(0, 0, -1, false)
  vim.cmd("edit " .. vim.fn.fnameescape(root .. "/src/net/client.py"))
  local hit
  wait("buffer", function()
    local answer = client.request_sync("mosearch/search", { query = "quersumme" }, 60000, 0)
    hit = answer and answer.result and answer.result.hits[1]
    return hit and hit.symbol == "quersumme"
  end)
  seen.typed = hit.location.range
  seen.typed_text = vim.str_byteindex and lines[3]

  vim.cmd("Mosearch Checksum")
  wait("jump", function()
    return vim.api.nvim_buf_get_name(0):match("store%.go$")
  end)
  seen.jumped = { vim.api.nvim_buf_get_name(0), vim.api.nvim_win_get_cursor(0)[1] }

  local function quickfix()
    return #vim.fn.getqflist() > 0
  end
  local function first()
    local item = vim.fn.getqflist()[1]
    return { vim.api.nvim_buf_get_name(item.bufnr), item.lnum }
  end
  local function empty()
    vim.cmd("cclose")
    vim.fn.setqflist({}, "r")
  end
  vim.api.nvim_win_set_cursor(0, { 6, 0 })
  wait("attachment", function()
    return vim.lsp.buf_is_attached(0, client.id)
  end)
  vim.cmd("MosearchSimilar")
  wait("similar code", quickfix)
  seen.quickfix.command = first()
  empty()

  vim.lsp.buf.code_action({ context = { only = { "mosearch.similar" }, diagnostics = {} } })
  wait("code action", quickfix)
  seen.quickfix.action = first()
end

local good, problem = xpcall(run, debug.traceback)
seen.problem = not good and problem or nil
vim.fn.writefile({ vim.fn.json_encode(seen) }, vim.env.EDITOR_TEST_RESULT)
vim.cmd("qa!")
