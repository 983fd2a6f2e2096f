package rule

import (
	"bytes"
	"regexp"
	"strings"
	"unicode/utf8"
)

// findEmails finds addresses of e-mail: a name, @, and a domain of two labels or more.
func findEmails(dst []span, plain []byte) []span {
	for at := 0; ; {
		i := bytes.IndexByte(plain[at:], '@')
		if i < 0 {
			return dst
		}
		i += at
		from, to := i, domainEnd(plain, i+1)
		for from > at && isLocal(plain[from-1]) {
			from--
		}
		for from < i && (plain[from] == '.' || plain[from] == '\'' || plain[from] == '-') { // of the text around
			from++
		}
		at = i + 1
		if from < i && to > 0 {
			dst = append(dst, span{from: from, to: to})
			at = to
		}
	}
}

func isLocal(c byte) bool {
	return isWord(c) || c >= utf8.RuneSelf || strings.IndexByte("._%+-'!#$*~^`", c) >= 0
}

// domainEnd is where the domain from i on ends; 0: it has no two labels, or its last one
// is no name.
func domainEnd(b []byte, i int) int {
	end, label, dots := 0, i, 0
	for k := i; ; k++ {
		if k < len(b) && (isWord(b[k]) || b[k] == '-' || b[k] >= utf8.RuneSelf) {
			continue
		}
		if k == label {
			break
		}
		if dots > 0 && k-label >= 2 && (isLetter(b[label]) || b[label] >= utf8.RuneSelf) {
			end = k
		}
		if k >= len(b) || b[k] != '.' {
			break
		}
		dots++
		label = k + 1
	}
	return end
}

// tokens are forms of secrets: the parts in ( ) are masked. Keys and tokens whose form
// says nothing are known by the word before them.
var tokens = []struct {
	words []string // one of them is in a text of this form, in letters of either case
	re    *regexp.Regexp
	check func([]byte) bool // nil: any
}{
	{[]string{"eyj"}, regexp.MustCompile(`\b(eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?)`), nil}, // JWT
	{[]string{"bearer"}, regexp.MustCompile(`(?i)\bbearer(?:\s+|%20|\+)([A-Za-z0-9\-._~+/]{8,}=*)`), looksRandom},
	{[]string{"authorization"}, regexp.MustCompile(`(?i)\bauthorization["']?(?:\s*[:=]\s*|\\u003[da])["']?(?:basic|digest|negotiate|token|apikey)\s+([^\s"',;]{4,})`), nil},
	{[]string{"akia", "asia"}, regexp.MustCompile(`\b((?:AKIA|ASIA)[0-9A-Z]{16})\b`), nil},                        // AWS
	{[]string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_"}, regexp.MustCompile(`\b(gh[pousr]_[A-Za-z0-9]{20,})`), nil}, // GitHub
	{[]string{"github_pat_"}, regexp.MustCompile(`\b(github_pat_[A-Za-z0-9_]{20,})`), nil},
	{[]string{"glpat-"}, regexp.MustCompile(`\b(glpat-[A-Za-z0-9_-]{16,})`), nil},                         // GitLab
	{[]string{"xox"}, regexp.MustCompile(`\b(xox[abeoprs]-[A-Za-z0-9-]{10,})`), nil},                      // Slack
	{[]string{"_live_", "_test_"}, regexp.MustCompile(`\b([sprw]k_(?:live|test)_[A-Za-z0-9]{10,})`), nil}, // Stripe
	{[]string{"aiza"}, regexp.MustCompile(`\b(AIza[A-Za-z0-9_-]{30,})`), nil},                             // Google
	{[]string{"://"}, regexp.MustCompile(`(?i)\b[a-z][a-z0-9+.-]*://[^\s:/@"']*:([^\s/@"']+)@`), nil},
	{[]string{"private key"}, regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(.+?)(?:-----END|$)`), nil},
	{[]string{"password", "passwd", "passphrase", "pwd"}, regexp.MustCompile(`(?i)(?:password|passwd|passphrase|\bpwd)\\?["']?(?:\s*(?:[:=]|=>)\s*|\\u003[da]|%3D)` + tokenValue), nil},
	{[]string{"secret", "token", "apikey", "api_key", "api-key", "accesskey", "access_key", "access-key", "privatekey", "private_key", "private-key", "authkey", "auth_key", "auth-key", "session_id", "session-id", "sessionid"}, regexp.MustCompile(`(?i)(?:secret|token|api[_-]?key|access[_-]?key(?:[_-]?id)?|private[_-]?key|secret[_-]?key|auth[_-]?key|session[_-]?id|sessionid|jsessionid)\\?["']?(?:\s*(?:[:=]|=>)\s*|\\u003[da]|%3D)` + tokenValue), isLong},
}

// tokenValue is what is assigned to a name: in quotes up to them, else a word.
const tokenValue = `(?:\\"((?:[^"\\]|\\[^"])+)|"((?:[^"\\]|\\.)+)|'([^']+)'|([^\s"'&,;)}\]\\]+))`

func looksRandom(b []byte) bool {
	return len(b) >= 32 || bytes.ContainsAny(b, "0123456789")
}

func isLong(b []byte) bool { return len(b) >= 8 }

var tokenWords = func() *scanner {
	of := map[int][]literal{}
	for i, t := range tokens {
		for _, w := range t.words {
			of[i] = append(of[i], literal{[]byte(w), true})
		}
	}
	return newScanner(of)
}()

// findTokens finds passwords, keys and tokens.
func findTokens(dst []span, plain []byte) []span {
	var found [1]uint64
	tokenWords.find(plain, found[:])
	if found[0] == 0 {
		return dst
	}
	for i, t := range tokens {
		if found[0]>>i&1 == 0 || t.words[0] == "://" && bytes.IndexByte(plain, '@') < 0 || !t.re.Match(plain) {
			continue
		}
		for _, at := range t.re.FindAllSubmatchIndex(plain, -1) {
			for k := 2; k < len(at); k += 2 {
				if at[k] >= 0 && (t.check == nil || t.check(plain[at[k]:at[k+1]])) {
					dst = append(dst, span{from: at[k], to: at[k+1]})
				}
			}
		}
	}
	return dst
}

// findIDs finds numbers of persons and of their accounts that can be told from other
// numbers: those of Chinese identity cards (GB 11643, with their check digit), social
// security numbers of the USA in their usual form, and IBANs (ISO 13616, with check
// digits).
func findIDs(dst []span, plain []byte) []span {
	for i := 0; i < len(plain); {
		c := plain[i]
		if c-'0' >= 10 && c-'A' >= 26 || i > 0 && isWord(plain[i-1]) {
			i++
			continue
		}
		to := 0
		if c-'0' < 10 {
			if to = chineseID(plain, i); to == 0 {
				to = socialSecurity(plain, i)
			}
		} else {
			to = iban(plain, i)
		}
		if to > 0 && (to == len(plain) || !isWord(plain[to])) {
			dst = append(dst, span{from: i, to: to})
			i = to
			continue
		}
		i++
	}
	return dst
}

func isWord(c byte) bool { return isLetter(c) || c-'0' < 10 }

// number reads n digits at i; -1: there are not as many.
func number(b []byte, i, n int) int {
	if i+n > len(b) {
		return -1
	}
	v := 0
	for _, c := range b[i : i+n] {
		if c-'0' >= 10 {
			return -1
		}
		v = v*10 + int(c-'0')
	}
	return v
}

// chineseID: six digits of a region, the day of birth, three digits and a check digit.
func chineseID(b []byte, i int) (to int) {
	if number(b, i, 17) < 0 || i+18 > len(b) {
		return 0
	}
	year, month, day := number(b, i+6, 4), number(b, i+10, 2), number(b, i+12, 2)
	if b[i] == '0' || b[i] == '9' || year < 1850 || year > 2099 || month < 1 || month > 12 || day < 1 || day > 31 {
		return 0
	}
	sum := 0
	for k, weight := range [...]int{7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2} {
		sum += weight * int(b[i+k]-'0')
	}
	last := b[i+17]
	if last == 'x' {
		last = 'X'
	}
	if last != "10X98765432"[sum%11] {
		return 0
	}
	return i + 18
}

// socialSecurity: 123-45-6789.
func socialSecurity(b []byte, i int) (to int) {
	area := number(b, i, 3)
	if area <= 0 || area == 666 || area >= 900 || i+11 > len(b) || b[i+3] != '-' || b[i+6] != '-' {
		return 0
	}
	if number(b, i+4, 2) <= 0 || number(b, i+7, 4) <= 0 {
		return 0
	}
	if i > 0 && b[i-1] == '-' || i+11 < len(b) && b[i+11] == '-' {
		return 0 // a part of something longer
	}
	return i + 11
}

// iban: a country, two check digits, 11 to 30 letters and digits, in groups of four or
// not.
func iban(b []byte, i int) (to int) {
	if i+15 > len(b) || b[i+1]-'A' >= 26 || number(b, i+2, 2) < 2 {
		return 0
	}
	rest, n := 0, 0
	add := func(c byte) {
		if c-'0' < 10 {
			rest = (rest*10 + int(c-'0')) % 97
		} else {
			rest = (rest*100 + int(c-'A') + 10) % 97
		}
	}
	best := 0
	check := func(end int) {
		was := rest
		for _, c := range b[i : i+4] {
			add(c)
		}
		if n >= 11 && n <= 30 && rest == 1 {
			best = end
		}
		rest = was
	}
	for k := i + 4; k < len(b) && n <= 30; k++ {
		c := b[k]
		if c == ' ' && n%4 == 0 && k+1 < len(b) && b[k+1] != ' ' {
			check(k)
			continue
		}
		if c-'0' >= 10 && c-'A' >= 26 {
			check(k)
			return best
		}
		add(c)
		n++
	}
	check(len(b))
	return best
}
