; Shared by the C and C++ grammars.  A pointer in the return type wraps the declarator.

(function_definition
  declarator: [
    (function_declarator declarator: (_) @name)
    (pointer_declarator declarator: (function_declarator declarator: (_) @name))
    (pointer_declarator declarator: (pointer_declarator declarator: (function_declarator declarator: (_) @name)))
  ]
  body: (compound_statement) @body) @function

(preproc_function_def name: (identifier) @name value: (_) @body) @macro

(struct_specifier name: (_) @name body: (_) @body) @struct
(union_specifier name: (_) @name body: (_) @body) @struct
(enum_specifier name: (_) @name body: (_) @body) @enum
(type_definition type: (struct_specifier body: (_) @body) declarator: (type_identifier) @name) @struct
(type_definition type: (union_specifier body: (_) @body) declarator: (type_identifier) @name) @struct
(type_definition type: (enum_specifier body: (_) @body) declarator: (type_identifier) @name) @enum

(comment) @comment
[(preproc_include) (preproc_def !value)] @preamble
; struct pool;
(translation_unit (struct_specifier !body) @preamble)
(preproc_ifdef (struct_specifier !body) @preamble)
