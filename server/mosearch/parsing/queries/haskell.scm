; Clauses of one function are separate nodes: they are merged by name.
[
  (declarations (function name: (_) @name match: (_) @body) @function)
  (class_declarations (function name: (_) @name match: (_) @body) @function)
  (instance_declarations (function name: (_) @name match: (_) @body) @function)
  (declarations (bind name: (_) @name match: (_) @body) @function)
  (class_declarations (bind name: (_) @name match: (_) @body) @function)
  (instance_declarations (bind name: (_) @name match: (_) @body) @function)
]
; a <+> b = ..., x `op` y = ...
[
  (declarations (function (infix operator: [(operator) (infix_id (_) @name)] @name) match: (_) @body) @function)
  (class_declarations (function (infix operator: [(operator) (infix_id (_) @name)] @name) match: (_) @body) @function)
  (instance_declarations (function (infix operator: [(operator) (infix_id (_) @name)] @name) match: (_) @body) @function)
]

(data_type name: (_) @name constructors: (_) @body) @struct
(newtype name: (_) @name constructor: (_) @body) @struct
(class name: (_) @name declarations: (_)? @body) @interface
(instance name: (_) @name declarations: (_)? @body) @class

(declarations (signature) @signature)
(instance_declarations (signature) @signature)
[(comment) (haddock)] @comment
[(header) (imports) (pragma)] @preamble
