package workflow

// FunctionNames are the functions of expressions.
func FunctionNames() []string { return functionNames() }
