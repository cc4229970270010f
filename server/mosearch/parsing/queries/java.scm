(method_declaration name: (identifier) @name body: (block) @body) @method
(constructor_declaration name: (identifier) @name body: (_) @body) @constructor
(compact_constructor_declaration name: (identifier) @name body: (block) @body) @constructor

(class_declaration name: (identifier) @name body: (_) @body) @class
(record_declaration name: (identifier) @name body: (_) @body) @class
(interface_declaration name: (identifier) @name body: (_) @body) @interface
(annotation_type_declaration name: (identifier) @name body: (_) @body) @interface
(enum_declaration name: (identifier) @name body: (_) @body) @enum

; An anonymous class or lambda kept in a field: its methods are the field's.
(variable_declarator name: (identifier) @name value: (object_creation_expression (class_body) @body)) @object
(variable_declarator name: (identifier) @name value: (lambda_expression body: (block) @body)) @function

[(marker_annotation) (annotation)] @lead
[(line_comment) (block_comment)] @comment
[(package_declaration) (import_declaration)] @preamble
