(function_declaration "func" . name: _ @name body: (_) @body) @function
(init_declaration "init" @name body: (_) @body) @constructor
(deinit_declaration "deinit" @name body: (_) @body) @method
(subscript_declaration "subscript" @name (computed_property) @body) @method
(property_declaration name: (pattern) @name computed_value: (_) @body) @method
(property_declaration name: (pattern) @name value: (lambda_literal) @body) @function

(class_declaration ["class" "actor"] name: (_) @name body: (_) @body) @class
(class_declaration "extension" name: (_) @name body: (_) @body) @extension
(class_declaration "struct" name: (_) @name body: (_) @body) @struct
(class_declaration "enum" name: (_) @name body: (_) @body) @enum
(protocol_declaration name: (_) @name body: (_) @body) @interface

(attribute) @lead
[(comment) (multiline_comment)] @comment
(import_declaration) @preamble
