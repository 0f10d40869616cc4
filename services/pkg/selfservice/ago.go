package selfservice

import (
	"strconv"
	"time"
)

// Ago describes the time since at, such as "3 hours ago".
func Ago(now, at time.Time) string {
	switch d := now.Sub(at); {
	case d < time.Minute:
		return "just now"
	case d < 2*time.Minute:
		return "a minute ago"
	case d < time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " minutes ago"
	case d < 2*time.Hour:
		return "an hour ago"
	case d < 24*time.Hour:
		return strconv.Itoa(int(d.Hours())) + " hours ago"
	case d < 48*time.Hour:
		return "yesterday"
	default:
		return "on " + at.UTC().Format("2 January 2006")
	}
}
