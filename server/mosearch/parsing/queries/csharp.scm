(method_declaration name: (identifier) @name body: (_) @body) @method
(constructor_declaration name: (identifier) @name body: (_) @body) @constructor
(destructor_declaration "~" @name body: (_) @body) @method
(indexer_declaration "this" @name accessors: (_) @body) @method
(indexer_declaration "this" @name value: (_) @body) @method
(conversion_operator_declaration type: (_) @name body: (_) @body) @method
(property_declaration name: (identifier) @name value: (arrow_expression_clause) @body) @method
(operator_declaration operator: _ @name body: (_) @body) @method
(local_function_statement name: (identifier) @name body: (_) @body) @function
(property_declaration name: (identifier) @name accessors: (accessor_list
  (accessor_declaration body: (_)))  @body) @method

(class_declaration name: (identifier) @name body: (_) @body) @class
(record_declaration name: (identifier) @name) @class
(struct_declaration name: (identifier) @name body: (_) @body) @struct
(interface_declaration name: (identifier) @name body: (_) @body) @interface
(enum_declaration name: (identifier) @name body: (_) @body) @enum

(attribute_list) @lead
(comment) @comment
[(using_directive) (file_scoped_namespace_declaration)] @preamble
(namespace_declaration "namespace" @preamble name: (_) @preamble)
