(method name: (_) @name body: (_)? @body) @function
(singleton_method name: (_) @name body: (_)? @body) @function
(assignment left: [(identifier) (constant)] @name right: (lambda body: (_) @body)) @function
; define_method(:size) do ... end
(call
  method: (identifier) @_method
  arguments: (argument_list . [(simple_symbol) (string)] @name)
  block: (_) @body
  (#any-of? @_method "define_method" "define_singleton_method")) @method

(class name: (_) @name body: (_)? @body) @class
(module name: (_) @name body: (_)? @body) @module
(assignment
  left: (constant) @name
  right: (call receiver: (constant) @_struct method: (identifier) @_new block: (_) @body)
  (#any-of? @_struct "Struct" "Class" "Data")
  (#any-of? @_new "new" "define")) @class

; describe "pool" do it "hands out a connection" do end end
(call
  method: (identifier) @_method
  arguments: (argument_list . (string) @name)
  block: (do_block) @body
  (#any-of? @_method "it" "test" "specify" "scenario" "should")) @function
(call
  method: (identifier) @_method
  arguments: (argument_list . [(string) (constant) (scope_resolution)] @name)
  block: (do_block) @body
  (#any-of? @_method "describe" "context" "feature" "namespace")) @namespace

(comment) @comment
(program (call !receiver method: (identifier) @_method (#any-of? @_method "require" "require_relative")) @preamble)
