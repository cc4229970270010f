(function_item name: (identifier) @name body: (block) @body) @function
(macro_definition name: (identifier) @name) @macro

(struct_item name: (type_identifier) @name body: (_)? @body) @struct
(union_item name: (type_identifier) @name body: (_) @body) @struct
(enum_item name: (type_identifier) @name body: (_) @body) @enum
(trait_item name: (type_identifier) @name body: (_) @body) @interface
(impl_item type: (_) @name body: (_) @body) @extension
(mod_item name: (identifier) @name body: (_) @body) @namespace

(attribute_item) @lead
[(line_comment) (block_comment)] @comment
[(use_declaration) (extern_crate_declaration) (mod_item !body)] @preamble
