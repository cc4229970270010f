(function_definition name: (_) @name body: (_) @body) @function
(val_definition pattern: (identifier) @name value: (lambda_expression) @body) @function

(class_definition name: (_) @name body: (_)? @body) @class
(object_definition name: (_) @name body: (_)? @body) @class
(trait_definition name: (_) @name body: (_)? @body) @interface
(enum_definition name: (_) @name body: (_) @body) @enum
(given_definition name: (_) @name body: (with_template_body) @body) @class

(annotation) @lead
[(comment) (block_comment)] @comment
[(package_clause !body) (import_declaration)] @preamble
