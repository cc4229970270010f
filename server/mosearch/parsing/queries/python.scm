; A decorated definition matches twice, with and without decorators: the wider one wins.
(function_definition name: (identifier) @name body: (block) @body) @function
(decorated_definition
  definition: (function_definition name: (identifier) @name body: (block) @body)) @function
(class_definition name: (identifier) @name body: (block) @body) @class
(decorated_definition
  definition: (class_definition name: (identifier) @name body: (block) @body)) @class
(expression_statement
  (assignment left: (identifier) @name right: (lambda body: (_) @body))) @function

(module . (comment)* . (expression_statement (string) @doc))
(function_definition body: (block . (expression_statement (string) @doc)))
(class_definition body: (block . (expression_statement (string) @doc)))

(decorator) @lead
(comment) @comment
