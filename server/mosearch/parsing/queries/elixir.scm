(call
  target: (identifier) @_keyword
  (arguments . [
    (call target: (identifier) @name)
    (identifier) @name
    (binary_operator left: [(call target: (identifier) @name) (identifier) @name] operator: "when")
  ])
  (do_block)? @body
  (#any-of? @_keyword "def" "defp" "defdelegate" "defguard" "defguardp" "defn" "defnp")) @function
(call
  target: (identifier) @_keyword
  (arguments . [
    (call target: (identifier) @name)
    (binary_operator left: (call target: (identifier) @name) operator: "when")
  ])
  (do_block) @body
  (#any-of? @_keyword "defmacro" "defmacrop")) @function
(call
  target: (identifier) @_keyword
  (arguments . (string) @name)
  (do_block) @body
  (#any-of? @_keyword "test" "property")) @function
(call
  target: (identifier) @_keyword
  (arguments . (string) @name)
  (do_block) @body
  (#eq? @_keyword "describe")) @namespace

(call
  target: (identifier) @_keyword
  (arguments . (alias) @name)
  (do_block) @body
  (#any-of? @_keyword "defmodule" "defimpl")) @module
(call
  target: (identifier) @_keyword
  (arguments . (alias) @name)
  (do_block) @body
  (#eq? @_keyword "defprotocol")) @interface

(unary_operator operator: "@" operand: (call
  target: (identifier) @_attribute
  (arguments [
    (string (quoted_content) @doc)
    (sigil (quoted_content) @doc)
  ]))
  (#any-of? @_attribute "doc" "moduledoc"))
(unary_operator operator: "@" operand: (call target: (identifier) @_attribute)
  (#any-of? @_attribute "doc" "spec" "impl" "deprecated" "since" "tag")) @lead
(comment) @comment
