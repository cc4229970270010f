(function_declaration name: (identifier) @name body: (block) @body) @function
(test_declaration [(string) (identifier)] @name (block) @body) @function

(variable_declaration . (identifier) @name (struct_declaration) @body) @struct
(variable_declaration . (identifier) @name (union_declaration) @body) @struct
(variable_declaration . (identifier) @name (opaque_declaration) @body) @struct
(variable_declaration . (identifier) @name (enum_declaration) @body) @enum

(comment) @comment
(source_file (variable_declaration) @preamble
  (#match? @preamble "^(pub )?const [a-zA-Z0-9_]+ = @import\\([^()]*\\)[.a-zA-Z0-9_]*;?$"))
