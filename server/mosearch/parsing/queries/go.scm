(function_declaration name: (identifier) @name body: (block) @body) @function

(method_declaration
  receiver: (parameter_list
    (parameter_declaration
      type: [
        (type_identifier) @container
        (generic_type type: (type_identifier) @container)
        (pointer_type (type_identifier) @container)
        (pointer_type (generic_type type: (type_identifier) @container))
      ]))
  name: (field_identifier) @name
  body: (block) @body) @method

(type_spec name: (type_identifier) @name type: (struct_type (field_declaration_list) @body)) @struct
(type_spec name: (type_identifier) @name type: (interface_type) @body) @interface

(var_spec name: (identifier) @name value: (expression_list . (func_literal body: (block) @body) .)) @function
(short_var_declaration
  left: (expression_list . (identifier) @name .)
  right: (expression_list . (func_literal body: (block) @body) .)) @function

; In a group (`type ( … )`) each one stands for itself.
(type_declaration . (type_spec) @inner .) @wrapper
(var_declaration . (var_spec) @inner .) @wrapper

(comment) @comment
[(package_clause) (import_declaration)] @preamble
