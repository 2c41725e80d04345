package fetch

// ParseContentRange is parseContentRange, for tests of what servers may say.
func ParseContentRange(text string) (first, total int64, err error) { return parseContentRange(text) }
