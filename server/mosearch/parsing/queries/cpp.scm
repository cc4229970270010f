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

; TEST(PoolTest, HandsOut) {}: a macro makes a name of its arguments.
(function_definition
  !type
  declarator: (function_declarator
    declarator: (identifier) @_macro
    parameters: (parameter_list
      . (parameter_declaration type: (_) @container !declarator)
      . (parameter_declaration type: (_) @name !declarator) .))
  body: (compound_statement) @body
  (#match? @_macro "^[A-Z][A-Z0-9_]{3,}$")) @function
; BENCHMARK_DEFINE_F(PoolBench, HandsOut)(benchmark::State& state) {}
(function_definition
  !type
  declarator: (function_declarator
    declarator: (function_declarator
      declarator: (identifier) @_macro
      parameters: (parameter_list
        . (parameter_declaration type: (_) @container !declarator)
        . (parameter_declaration type: (_) @name !declarator) .)))
  body: (compound_statement) @body
  (#match? @_macro "^[A-Z][A-Z0-9_]{3,}$")) @function
; DEFINE_TEST(HandsOut) {}
(function_definition
  !type
  declarator: (function_declarator
    declarator: (identifier) @container
    parameters: (parameter_list . (parameter_declaration type: (_) @name !declarator) .))
  body: (compound_statement) @body
  (#match? @container "^[A-Z][A-Z0-9]*_[A-Z0-9_]+$")) @function

[(using_declaration) (namespace_alias_definition)] @preamble
(translation_unit (class_specifier !body) @preamble)
(declaration_list [(class_specifier !body) (struct_specifier !body)] @preamble)
(preproc_ifdef (class_specifier !body) @preamble)
