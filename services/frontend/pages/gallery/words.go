package gallery

import "strconv"

// count formats n with a narrow no-break space between thousands.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// says returns what a frog says when it is petted.
func says(id string) string {
	switch id {
	case "red-eyed-tree-frog":
		return "Again. I wasn’t looking."
	case "desert-rain-frog":
		return "SQUEAK!"
	case "strawberry-poison-frog":
		return "Nice jeans, right?"
	case "wallaces-flying-frog":
		return "Wheeeee!"
	case "golden-poison-frog":
		return "Now wash your hands."
	case "american-bullfrog":
		return "Jug-o-rum."
	case "glass-frog":
		return "You touched my heart."
	case "tomato-frog":
		return "Not for salad, thanks."
	case "blue-poison-dart-frog":
		return "I blue myself."
	case "water-holding-frog":
		return "Zzz… is it raining?"
	case "horned-frog":
		return "Is that a snack?"
	case "tree-frog":
		return "Ribbit!"
	case "mossy-frog":
		return "How did you find me?"
	case "common-frog":
		return "Croak."
	case "purple-frog":
		return "I came up for this."
	case "darwins-frog":
		return "Mind the children."
	default:
		return "Ribbit."
	}
}
