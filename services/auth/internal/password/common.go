package password

import (
	_ "embed"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// minEffort is the minimum number of different pieces of a password. A piece is one character, or a
// run of characters that a cracking program tries in one step: a common word, a word of the
// context, a year, a sequence, or adjacent keys. "Password12345678!" has three. The minimum is low
// on purpose: false positives annoy users, and the minimum length and the rate limits contribute
// more security.
const minEffort = 4

// The minimum lengths of runs that count as one piece. Shorter ones occur in good passwords by
// chance.
const (
	minWord     = 3
	minSequence = 3
	minAdjacent = 4
	yearLength  = 4
)

// commonText lists common long passwords, and the words that others are composed of.
//
//go:embed common.txt
var commonText string

// isCommon reports whether a password is easy to guess despite its length.
func isCommon(password string, context []string) bool {
	text := reduce(password)
	return repeats(text) || effort(text, newVocabulary(context)) < minEffort
}

// reduce removes common variations of a password: capitals, separators, and compatibility forms
// such as full-width letters.
func reduce(s string) []rune {
	var out []rune
	for _, r := range strings.ToLower(norm.NFKC.String(s)) {
		if !unicode.IsSpace(r) && !strings.ContainsRune(`-_.,:;/\|+'"`, r) {
			out = append(out, r)
		}
	}
	return out
}

// repeats reports whether text is a repeated shorter text, the last repetition possibly cut, that
// is shorter than MinLength and so would be refused by itself.
func repeats(text []rune) bool {
	for period := 1; period < MinLength && period <= len(text)/2; period++ {
		if hasPeriod(text, period) {
			return true
		}
	}
	return false
}

func hasPeriod(text []rune, period int) bool {
	for i := period; i < len(text); i++ {
		if text[i] != text[i-period] {
			return false
		}
	}
	return true
}

// effort splits text into as few pieces as possible and returns the number of different ones.
func effort(text []rune, words vocabulary) int {
	plain := letters(text)
	sequences, adjacent := runs(text, sequenceStep), runs(text, keyboardStep)
	least := make([]int, len(text)+1) // number of pieces of the first i characters
	start := make([]int, len(text)+1) // start of the last of those pieces
	for end := 1; end <= len(text); end++ {
		least[end], start[end] = least[end-1]+1, end-1
		for from := end - 1; from >= 0; from-- {
			n := end - from
			piece := n >= minSequence && n <= sequences[end-1] ||
				n >= minAdjacent && n <= adjacent[end-1] ||
				n == yearLength && isYear(text[from:end]) ||
				words.has(text[from:end]) || words.has(plain[from:end])
			if piece && least[from]+1 < least[end] {
				least[end], start[end] = least[from]+1, from
			}
		}
	}
	different := map[string]struct{}{}
	for end := len(text); end > 0; end = start[end] {
		different[string(text[start[end]:end])] = struct{}{}
	}
	return len(different)
}

// runs returns, for each character, the length of the longest run that ends there. A run is a
// sequence of characters with the same step other than 0.
func runs(text []rune, step func(a, b rune) int) []int {
	out := make([]int, len(text))
	last := 0
	for i := range text {
		out[i] = 1
		if i == 0 {
			continue
		}
		s := step(text[i-1], text[i])
		switch {
		case s != 0 && s == last:
			out[i] = out[i-1] + 1
		case s != 0:
			out[i] = 2
		}
		last = s
	}
	return out
}

// sequenceStep makes runs of aaa, abc, cba, 123 and 8901 (digits wrap around). It is 0 for other
// pairs.
func sequenceStep(a, b rune) int {
	const up, down, same = 1, 2, 3
	switch {
	case b == a:
		return same
	case b == a+1, a == '9' && b == '0':
		return up
	case b == a-1, a == '0' && b == '9':
		return down
	}
	return 0
}

// isYear recognizes 1900 to 2099.
func isYear(text []rune) bool {
	century := string(text[:2])
	return (century == "19" || century == "20") && isDigit(text[2]) && isDigit(text[3])
}

func isDigit(r rune) bool { return '0' <= r && r <= '9' }

// letters reverts common substitutions of digits and symbols for letters.
func letters(text []rune) []rune {
	out := make([]rune, len(text))
	for i, r := range text {
		out[i] = letter(r)
	}
	return out
}

func letter(r rune) rune {
	switch r {
	case '0':
		return 'o'
	case '1', '!':
		return 'i'
	case '3':
		return 'e'
	case '4', '@':
		return 'a'
	case '5', '$':
		return 's'
	case '7':
		return 't'
	}
	return r
}

// vocabulary is a set of reduced words.
type vocabulary struct {
	words   map[string]struct{}
	longest int
}

// newVocabulary returns the common words and those of the context: each context text and its parts.
func newVocabulary(context []string) vocabulary {
	v := vocabulary{words: map[string]struct{}{}}
	for line := range strings.Lines(commonText) {
		if !strings.HasPrefix(line, "#") {
			for word := range strings.FieldsSeq(line) {
				v.add(word)
			}
		}
	}
	for _, text := range context {
		v.add(text)
		for part := range strings.FieldsFuncSeq(text, isSeparator) {
			v.add(part)
		}
		if local, domain, ok := strings.Cut(text, "@"); ok { // an e-mail address
			v.add(local)
			v.add(domain)
		}
	}
	return v
}

func (v *vocabulary) add(text string) {
	word := reduce(text)
	if len(word) < minWord || len(word) > MaxLength {
		return
	}
	v.words[string(word)] = struct{}{}
	v.words[string(letters(word))] = struct{}{}
	v.longest = max(v.longest, len(word))
}

func (v *vocabulary) has(text []rune) bool {
	if len(text) < minWord || len(text) > v.longest {
		return false
	}
	_, ok := v.words[string(text)]
	return ok
}

func isSeparator(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
}
