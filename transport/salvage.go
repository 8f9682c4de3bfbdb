package transport

// Exception returns what can be read of an exception that was cut off: the texts at the top of the message, the last of
// them possibly torn. It returns nil when the message was no exception, or nothing of it arrived.
func (e *TruncatedError) Exception() *Exception {
	if e.Kind != KindException || !isMap(e.Body) {
		return nil
	}
	x := &Exception{Truncated: true}
	head, _, pairs := shape(e.Body)
	rest := e.Body[min(head, len(e.Body)):]
	for range pairs / 2 {
		var key, value string
		var whole bool
		if key, rest, whole = text(rest); !whole {
			break
		}
		if value, rest, whole = text(rest); !x.set(key, value) || !whole {
			break
		}
	}
	if x.Type == "" && x.Message == "" {
		return nil
	}
	x.Limit()
	return x
}

// text reads a string at the start of b, as much of it as is there.
func text(b []byte) (s string, rest []byte, whole bool) {
	if len(b) == 0 || (b[0]&0xe0 != 0xa0 && (b[0] < 0xd9 || b[0] > 0xdb)) {
		return "", nil, false
	}
	head, size, _ := shape(b)
	if head > len(b) {
		return "", nil, false
	}
	b = b[head:]
	whole = size <= len(b)
	size = min(size, len(b))
	return string(b[:size]), b[size:], whole
}

func (e *Exception) set(key, value string) bool {
	switch key {
	case "type":
		e.Type = value
	case "module":
		e.Module = value
	case "message":
		e.Message = value
	case "traceback":
		e.Traceback = value
	default:
		return false
	}
	return true
}
