(function_definition name: (name) @name body: (_) @body) @function
(method_declaration name: (name) @name body: (_) @body) @method
(assignment_expression left: (variable_name (name) @name) right: [
  (anonymous_function body: (_) @body)
  (arrow_function body: (_) @body)
]) @function

(class_declaration name: (name) @name body: (_) @body) @class
(trait_declaration name: (name) @name body: (_) @body) @class
(interface_declaration name: (name) @name body: (_) @body) @interface
(enum_declaration name: (name) @name body: (_) @body) @enum

(expression_statement (assignment_expression) @inner) @wrapper

(attribute_list) @lead
(comment) @comment
[(php_tag) (namespace_definition !body) (namespace_use_declaration) (declare_statement)] @preamble
