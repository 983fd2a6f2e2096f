package schemas

import "bytes"

// StringEnd is the index of the quote that ends a JSON string whose inside starts at
// b[0], or -1. A quote is escaped when an odd number of backslashes stands before it.
func StringEnd(b []byte) int {
	for i := 0; ; i++ {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1
		}
		i += n
		k := i
		for k > 0 && b[k-1] == '\\' {
			k--
		}
		if (i-k)%2 == 0 {
			return i
		}
	}
}
