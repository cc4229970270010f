; On top of javascript.scm.

(public_field_definition name: (_) @name value: [
  (arrow_function body: (_) @body)
  (function_expression body: (_) @body)
]) @method

(abstract_class_declaration name: (_) @name body: (class_body) @body) @class
(interface_declaration name: (_) @name body: (interface_body) @body) @interface
(enum_declaration name: (_) @name body: (enum_body) @body) @enum
(type_alias_declaration name: (_) @name value: (_) @body) @interface
(internal_module name: (_) @name body: (_) @body) @module
(module name: (_) @name body: (_) @body) @module
; declare function f(): void, and overloads, which are merged with the implementation below them.
(function_signature name: (_) @name) @function

(ambient_declaration (_) @inner .) @wrapper

; Overloads of a method directly above the implementation belong to it.
(class_body (method_signature) @lead)
