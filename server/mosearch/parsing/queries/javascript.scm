; Shared by the JavaScript, TypeScript and TSX grammars.

[
  (function_declaration name: (identifier) @name body: (_) @body)
  (generator_function_declaration name: (identifier) @name body: (_) @body)
  (function_expression name: (identifier) @name body: (_) @body)
  (generator_function name: (identifier) @name body: (_) @body)
] @function

; const f = () => {}
(variable_declarator name: (identifier) @name value: [
  (arrow_function body: (_) @body)
  (function_expression body: (_) @body)
  (generator_function body: (_) @body)
]) @function

; const Card = React.memo((props) => {})
(variable_declarator name: (identifier) @name value: (call_expression
  function: (_) @_callee
  arguments: (arguments . [
    (arrow_function body: (statement_block) @body)
    (function_expression body: (_) @body)
  ]))
  (#match? @_callee "(^|[.])(memo|forwardRef|observer|create[A-Z][A-Za-z]*|define[A-Z][A-Za-z]*|use[A-Z][A-Za-z]*|with[A-Z][A-Za-z]*|debounce|throttle|once|memoize|curry|asyncHandler|promisify)$")) @function

; exports.f = function () {}, Pool.prototype.acquire = function () {}
(assignment_expression left: [(identifier) (member_expression)] @name right: [
  (arrow_function body: (_) @body)
  (function_expression body: (_) @body)
  (generator_function body: (_) @body)
]) @function

(export_statement "default" @name value: [
  (arrow_function body: (_) @body)
  (function_expression !name body: (_) @body)
]) @function

; { get() {}, set: () => {} }
(method_definition name: (_) @name body: (_) @body) @method
(pair key: [(property_identifier) (string)] @name value: [
  (arrow_function body: (_) @body)
  (function_expression body: (_) @body)
  (generator_function body: (_) @body)
]) @method
(variable_declarator name: (identifier) @name value: (object) @body) @object
(assignment_expression left: [(identifier) (member_expression)] @name right: (object) @body) @object

; Object.defineProperties(Pool.prototype, { size: { get () {} } })
(call_expression
  function: (member_expression object: (identifier) @_object property: (property_identifier) @_callee)
  arguments: (arguments . (_) @container . (object (pair
    key: (_) @name
    value: (object [
      (method_definition body: (_) @body)
      (pair value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)])
    ])) @method))
  (#any-of? @_object "Object" "Reflect")
  (#eq? @_callee "defineProperties"))
; Object.defineProperty(Pool.prototype, 'size', { get () {} })
(call_expression
  function: (member_expression object: (identifier) @_object property: (property_identifier) @_callee)
  arguments: (arguments . (_) @container . (_) @name . (object [
    (method_definition body: (_) @body)
    (pair value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)])
  ]))
  (#any-of? @_object "Object" "Reflect")
  (#eq? @_callee "defineProperty")) @method

(class_declaration name: (_) @name body: (class_body) @body) @class
(class name: (_) @name body: (class_body) @body) @class
(variable_declarator name: (identifier) @name value: (class body: (class_body) @body)) @class
(assignment_expression
  left: [(identifier) (member_expression)] @name right: (class body: (class_body) @body)) @class
(export_statement "default" @name value: (class !name body: (class_body) @body)) @class

; describe("pool", () => { it("hands out a connection", () => {}) })
(call_expression
  function: (identifier) @_callee
  arguments: (arguments . (string) @name . [
    (arrow_function body: (statement_block) @body)
    (function_expression body: (_) @body)
  ])
  (#any-of? @_callee "it" "test" "specify")) @function
(call_expression
  function: (identifier) @_callee
  arguments: (arguments . (string) @name . [
    (arrow_function body: (statement_block) @body)
    (function_expression body: (_) @body)
  ])
  (#any-of? @_callee "describe" "context" "suite")) @namespace

(lexical_declaration . (variable_declarator) @inner .) @wrapper
(variable_declaration . (variable_declarator) @inner .) @wrapper
(expression_statement (assignment_expression) @inner) @wrapper
(expression_statement (call_expression) @inner) @wrapper
(export_statement declaration: (_) @inner) @wrapper

(decorator) @lead
(comment) @comment
(import_statement) @preamble
; 'use strict'; const net = require('net');
(program (expression_statement (string)) @preamble)
(program [(lexical_declaration) (variable_declaration)] @preamble
  (#match? @preamble "^[a-z]+ [^=;(]*= require\\([^()]*\\)[.a-zA-Z]*;?$"))
