(function_declaration (user_type) @container . name: (identifier) @name (function_body) @body) @function
(function_declaration (nullable_type (user_type) @container) . name: (identifier) @name (function_body) @body) @function
(function_declaration name: (identifier) @name (function_body) @body) @function
(secondary_constructor "constructor" @name (block) @body) @constructor
(property_declaration (variable_declaration (identifier) @name) (getter (function_body) @body)) @method
(property_declaration (variable_declaration . (identifier) @name) (lambda_literal) @body) @function

(class_declaration "class" name: (identifier) @name (class_body)? @body) @class
(class_declaration "interface" name: (identifier) @name (class_body)? @body) @interface
(class_declaration name: (identifier) @name (enum_class_body) @body) @enum
(object_declaration name: (identifier) @name (class_body)? @body) @class

(annotation) @lead
[(line_comment) (block_comment)] @comment
[(package_header) (import) (file_annotation)] @preamble
