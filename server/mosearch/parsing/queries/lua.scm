(function_declaration name: (_) @name body: (_)? @body) @function
(assignment_statement
  (variable_list . name: (_) @name .)
  (expression_list . value: (function_definition body: (_)? @body) .)) @function
(field name: [(identifier) (string)] @name value: (function_definition body: (_)? @body)) @method
(assignment_statement
  (variable_list . name: (_) @name .)
  (expression_list . value: (table_constructor) @body .)) @object

(variable_declaration (assignment_statement) @inner .) @wrapper

(comment) @comment
