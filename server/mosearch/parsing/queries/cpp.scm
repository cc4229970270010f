; On top of c.scm.

(function_definition
  declarator: (reference_declarator (function_declarator declarator: (_) @name))
  body: (compound_statement) @body) @function
; operator bool() const {}
(function_definition
  declarator: [(operator_cast) (qualified_identifier)] @name
  body: (compound_statement) @body) @function
; auto f = [](int a) {};
(declaration
  declarator: (init_declarator
    declarator: (identifier) @name
    value: (lambda_expression body: (compound_statement) @body))) @function
; Foo() try : x(1) {} catch (...) {}
(function_definition
  declarator: (function_declarator declarator: (_) @name)
  (try_statement) @body) @function

(class_specifier name: (_) @name body: (_) @body) @class
(namespace_definition name: (_) @name body: (_) @body) @namespace

(template_declaration (_) @inner .) @wrapper
