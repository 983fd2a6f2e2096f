package rule

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/sluicelog/sluice/internal/jsontext"
)

// masked is a message after a rule.
func masked(t testing.TB, message, with string, names ...string) string {
	t.Helper()
	s := set(t, Spec{Mask: names, With: with})
	j := s.NewJudge()
	out, _ := j.Mask(s.Rules()[0], &Event{Text: inside(message)})
	return string(jsontext.Unescape(nil, out))
}

func TestMask(t *testing.T) {
	for _, c := range []struct{ mask, in, want string }{
		{"card", "paid with 4111111111111111 today", "paid with [card] today"},
		{"card", "4111 1111 1111 1111", "[card]"},
		{"card", "4111-1111-1111-1111,12/27,123", "[card],12/27,123"},
		{"card", "4111 1111 1111 1111 123 12/27", "[card] 123 12/27"},
		{"card", "3782 822463 10005.", "[card]."},
		{"card", "3056 930902 5904", "[card]"},
		{"card", `{"pan":"5555555555554444","cvv":"1"}`, `{"pan":"[card]","cvv":"1"}`},
		{"card", "/pay?card=4111%201111%201111%201111&x=1", "/pay?card=[card]&x=1"},
		{"card", "4111+1111+1111+1111", "[card]"},
		{"card", "PAN4111111111111111", "PAN[card]"},
		{"card", "4111111111111111EUR", "[card]EUR"},
		{"card", "4111\u00a01111\u00a01111\u00a01111", "[card]"},
		{"card", "４１１１１１１１１１１１１１１１", "[card]"},
		{"card", "4111–1111–1111–1111", "[card]"},
		{"card", "4111111111111111 and 5555555555554444", "[card] and [card]"},
		{"card", "12 4111 1111 1111 1111", "12 [card]"},
		{"card", "6212345678900000003", "[card]"}, // UnionPay, 19 digits
		{"card", "2223003122003222", "[card]"},
		{"card", "4111111111111112", "4111111111111112"},                                 // Luhn
		{"card", "1764403200000", "1764403200000"},                                       // milliseconds since 1970
		{"card", "490154203237518", "490154203237518"},                                   // IMEI: Luhn, no scheme
		{"card", "0.4111111111111111", "0.4111111111111111"},                             // fraction
		{"card", "4111111111111111.5", "4111111111111111.5"},                             // fraction
		{"card", "14111111111111111", "14111111111111111"},                               // longer
		{"card", "a1f4111111111111111", "a1f4111111111111111"},                           // hexadecimal
		{"card", "41111111111111114111111111111111", "41111111111111114111111111111111"}, // longer
		{"card", "4111 11 11 1111 1111", "4111 11 11 1111 1111"},                         // no groups of a card
		{"card", "trace=aa4335224839288f", "trace=aa4335224839288f"},
		{"card", "CC4111111111111111", "CC[card]"},
		{"card", "4757-2754-5834-2966-017", "4757-2754-5834-2966-017"}, // 19 digits, of which the last is wrong
		{"card", "0000000000000000", "0000000000000000"},
		{"email", "from Jörg.Müller+x@mail.example.co.uk: hi", "from [email]: hi"},
		{"email", "<a@b.io>", "<[email]>"},
		{"email", "'a@b.io'", "'[email]'"},
		{"email", "a@b.io.", "[email]."},
		{"email", "mailto:a@b.io?subject=x", "mailto:[email]?subject=x"},
		{"email", "q=a@b.io&x=c@d.de", "q=[email]&x=[email]"},
		{"email", "root@localhost java.lang.Object@1a2b3c @a.b x@10.0.0.1 a@b", "root@localhost java.lang.Object@1a2b3c @a.b x@10.0.0.1 a@b"},
		{"token", "Authorization: Bearer abc123.def-456", "Authorization: Bearer [token]"},
		{"token", "Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [token]"},
		{"token", "the bearer authentication failed", "the bearer authentication failed"},
		{"token", "jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-_1", "jwt [token]"},
		{"token", `{"password":"hunter\"2","user":"x"}`, `{"password":"[token]","user":"x"}`},
		{"token", `{"log":"{\"password\":\"hunter2\",\"user\":\"x\"}"}`, `{"log":"{\"password\":\"[token]\",\"user\":\"x\"}"}`},
		{"token", "login user=x password=hunter2&next=/", "login user=x password=[token]&next=/"},
		{"token", "PASSWORD: 'a b c'", "PASSWORD: '[token]'"},
		{"token", "api_key=0123456789abcdef", "api_key=[token]"},
		{"token", "token: none", "token: none"},
		{"token", "https://user:secret@host/", "https://user:[token]@host/"},
		{"token", "AKIAIOSFODNN7EXAMPLE", "[token]"},
		{"token", "ghp_0123456789abcdefghij0123456789abcdef", "[token]"},
		{"id", "id 11010519491231002X.", "id [id]."},
		{"id", "110105194912310021", "110105194912310021"}, // check digit
		{"id", "123-45-6789 000-12-3456 1123-45-6789", "[id] 000-12-3456 1123-45-6789"},
		{"id", "DE89 3704 0044 0532 0130 00, GB29NWBK60161331926819", "[id], [id]"},
		{"id", "DE88370400440532013000", "DE88370400440532013000"},
		{`/order (\d+)/`, "order 12, order 13; 14", "order [masked], order [masked]; 14"},
		{`/\d+/`, "order 12", "order [masked]"},
	} {
		if got := masked(t, c.in, "", c.mask); got != c.want {
			t.Errorf("%s of %q: %q, want %q", c.mask, c.in, got, c.want)
		}
	}
}

func TestMaskWith(t *testing.T) {
	for with, want := range map[string]string{"name": "[card] [email]", "last4": "[card:1111] [email:bcom]"} {
		if got := masked(t, "4111-1111-1111-1111 a@b.com", with, "card", "email"); got != want && with != "last4" || !strings.HasPrefix(got, want[:11]) && with == "last4" {
			t.Errorf("with %s: %q, want %q", with, got, want)
		}
	}
	a, b := masked(t, "a@b.com", "hash", "email"), masked(t, "x a@b.com", "hash", "email")
	if len(a) != len("[email:0123456789abcdef]") || "x "+a != b {
		t.Errorf("with hash: %q and %q", a, b)
	}
	if got := masked(t, "password=abcd", "last4", "token"); strings.Contains(got, "abcd") {
		t.Errorf("the last four of four are the whole: %q", got)
	}
}

// One million lines with 1,000 numbers of cards in 40 shapes, and 1,000 numbers that are
// none, are masked and left as they should be.
func TestCardsAmongAMillionLines(t *testing.T) {
	lines := 1_000_000
	if testing.Short() || raceEnabled {
		lines = 50_000
	}
	r := rand.New(rand.NewPCG(1, 2))
	s := set(t, Spec{Mask: []string{"card"}})
	j, view := s.NewJudge(), s.View(&Source{})
	check := func(line, secret string, want bool) {
		t.Helper()
		e := Event{Text: inside(line)}
		out, got := j.Mask(j.Judge(view, &e).Mask, &e)
		if got != want || want && secret != "" && strings.Contains(string(jsontext.Unescape(nil, out)), secret) {
			t.Errorf("%q: masked %v, want %v: %q", line, got, want, out)
		}
	}
	every := lines / 1000
	for i := range lines {
		switch {
		case i%every == 0:
			shape := cardShapes[i/every%len(cardShapes)]
			line, secret := shape(cardNumber(r))
			check(line, secret, true)
		case i%every == every/2:
			check(noCard(r, i/every), "", false)
		default:
			check(fmt.Sprintf(`2026-11-29T07:%02d:%02d.%06dZ INFO c.e.Shop [pool-1-thread-%d] - order %06d done in %d ms, user=%d trace=c%015x`, i/60%60, i%60, i, i%16, i, i%1000, r.IntN(1e6), r.Uint64()>>4), "", false)
		}
	}
}

// cardNumber is a number of one of the large schemes with its check digit.
func cardNumber(r *rand.Rand) string {
	kinds := []struct {
		prefix string
		n      int
	}{{"4", 16}, {"51", 16}, {"55", 16}, {"2221", 16}, {"2720", 16}, {"34", 15}, {"37", 15}, {"6011", 16}, {"65", 16}, {"62", 16}, {"62", 19}, {"3530", 16}, {"36", 14}, {"2200", 16}, {"4", 13}, {"4", 19}}
	k := kinds[r.IntN(len(kinds))]
	d := []byte(k.prefix)
	for len(d) < k.n-1 {
		d = append(d, byte('0'+r.IntN(10)))
	}
	return string(append(d, checkDigit(d)))
}

func checkDigit(d []byte) byte {
	sum := 0
	for i := range d {
		v := int(d[len(d)-1-i] - '0')
		if i%2 == 0 {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
	}
	return byte('0' + (10-sum%10)%10)
}

// grouped writes a number in the groups that its card has.
func grouped(n, separator string) string {
	sizes := []int{4, 4, 4, 4, 3}
	switch len(n) {
	case 15:
		sizes = []int{4, 6, 5}
	case 14:
		sizes = []int{4, 6, 4}
	}
	var out []string
	for _, size := range sizes {
		if size = min(size, len(n)); size > 0 {
			out = append(out, n[:size])
			n = n[size:]
		}
	}
	return strings.Join(out, separator)
}

// cardShapes are lines with a card's number in them.
var cardShapes = func() (out []func(string) (string, string)) {
	for _, form := range []string{
		"%s", "card %s declined", "pan=%s", "pan=%s&cvv=123", "pan:%s,", "(%s)", "[%s]", "<pan>%s</pan>", `{"pan":"%s"}`, `{"pan":%s}`, `"%s"`, "'%s'", "%s.", "%s;", "#%s", "no.%s", "PAN%s", "card_%s_x", "a|%s|b", "a,%s,b", "a\t%s\tb", "%s\\n", "%s 12/27 123", "EUR 12.50 %s", "/pay/%s?x=1", "карта %s принята", "卡号%s。", "%sEUR",
	} {
		out = append(out, func(n string) (string, string) { return fmt.Sprintf(form, n), n })
	}
	for _, separator := range []string{" ", "-", ".", "/", "_", "+", "%20", "\u00a0", "\u2009", "\u202f", "–", "  "} {
		out = append(out, func(n string) (string, string) {
			s := grouped(n, separator)
			return "payment by " + s + " of a customer", s
		})
	}
	return out
}()

// noCard is a line with a number that is none of a card, though many have its length, its
// check digit or its groups.
func noCard(r *rand.Rand, i int) string {
	n := cardNumber(r)
	wrong := n[:len(n)-1] + string('0'+(n[len(n)-1]-'0'+byte(1+r.IntN(9)))%10)
	imei := []byte(fmt.Sprintf("35%012d", r.Int64N(1e12)))
	switch i % 10 {
	case 0:
		return "order " + wrong
	case 1:
		return "order " + grouped(wrong, "-")
	case 2:
		return fmt.Sprintf("at %d", 1764403200000+r.Int64N(1e9)) // milliseconds
	case 3:
		return fmt.Sprintf("imei %s%c", imei, checkDigit(imei))
	case 4:
		return "ratio 0." + n
	case 5:
		return fmt.Sprintf("sha %08xa%sb%08x1", r.Uint32(), n, r.Uint32())
	case 6:
		return "9" + n + "1"
	case 7:
		return fmt.Sprintf("nanos %d", 1764403200000000000+r.Int64N(1e15))
	case 8:
		return fmt.Sprintf("10.%d.%d.%d:%d 2026-11-29 07:12:13.123456", r.IntN(256), r.IntN(256), r.IntN(256), r.IntN(65536))
	}
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", r.Uint32(), r.IntN(65536), r.IntN(65536), r.IntN(65536), r.Int64N(1<<48))
}
