; On top of javascript.scm.

(public_field_definition name: (_) @name value: [
  (arrow_function body: (_) @body)
  (function_expression body: (_) @body)
]) @method

(abstract_class_declaration name: (_) @name body: (class_body) @body) @class
(interface_declaration name: (_) @name body: (interface_body) @body) @interface
(enum_declaration name: (_) @name body: (enum_body) @body) @enum
(type_alias_declaration name: (_) @name value: (object_type) @body) @interface
(internal_module name: (_) @name body: (_) @body) @namespace
(module name: (_) @name body: (_) @body) @namespace

(ambient_declaration (_) @inner .) @wrapper

; Overload signatures directly above the implementation belong to it.
(function_signature) @lead
(export_statement declaration: (function_signature)) @lead
(class_body (method_signature) @lead)
