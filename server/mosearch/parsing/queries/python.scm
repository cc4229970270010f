(function_definition name: (identifier) @name body: (block) @body) @function
(class_definition name: (identifier) @name body: (block) @body) @class
(expression_statement
  (assignment left: (identifier) @name right: (lambda body: (_) @body))) @function

(decorated_definition definition: (_) @inner) @wrapper

(module . (comment)* . (expression_statement (string) @doc))
(function_definition body: (block . (expression_statement (string) @doc)))
(class_definition body: (block . (expression_statement (string) @doc)))

(decorator) @lead
(comment) @comment
[(import_statement) (import_from_statement) (future_import_statement)] @preamble
