package password

import "strings"

// walkStep is 1 for neighbouring keys, so that runs recognizes qwerty, 1qaz, poiuy, q1w2e3.
func walkStep(a, b rune) int {
	for _, rows := range keyboards() {
		if neighbours(rows, a, b) {
			return 1
		}
	}
	return 0
}

// keyboards returns the rows of the layouts in common use; each row lies half a key to the right of the one above it.
func keyboards() [3][4]string {
	return [3][4]string{
		{"1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm"},
		{"1234567890", "qwertzuiop", "asdfghjkl", "yxcvbnm"},
		{"1234567890", "azertyuiop", "qsdfghjklm", "wxcvbn"},
	}
}

func neighbours(rows [4]string, a, b rune) bool {
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
