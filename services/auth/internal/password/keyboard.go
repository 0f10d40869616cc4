package password

import "strings"

// keyboardStep is 1 for adjacent keys, so that runs recognizes qwerty, 1qaz, poiuy and q1w2e3.
func keyboardStep(a, b rune) int {
	for _, rows := range keyboards() {
		if adjacentKeys(rows, a, b) {
			return 1
		}
	}
	return 0
}

// keyboards returns the rows of common layouts. Each row is half a key to the right of the one
// above.
func keyboards() [3][4]string {
	return [3][4]string{
		{"1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm"},
		{"1234567890", "qwertzuiop", "asdfghjkl", "yxcvbnm"},
		{"1234567890", "azertyuiop", "qsdfghjklm", "wxcvbn"},
	}
}

func adjacentKeys(rows [4]string, a, b rune) bool {
	rowA, colA := find(rows, a)
	rowB, colB := find(rows, b)
	if rowA < 0 || rowB < 0 {
		return false
	}
	right := colB - colA
	switch rowB - rowA {
	case 0:
		return right >= -1 && right <= 1
	case 1: // the row below
		return right == 0 || right == -1
	case -1: // the row above
		return right == 0 || right == 1
	}
	return false
}

func find(rows [4]string, key rune) (row, col int) {
	for row, keys := range rows {
		if col := strings.IndexRune(keys, key); col >= 0 {
			return row, col
		}
	}
	return -1, -1
}
