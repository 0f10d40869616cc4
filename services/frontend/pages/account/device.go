package account

import "strings"

// A device is what a user agent seems to be. A user agent can be any text, so it
// is never shown: it only selects one of these names.
type device struct {
	Name string
	// Handheld picks the picture.
	Handheld bool
}

// a mark is a piece of a user agent, and what it stands for.
type mark struct{ piece, name string }

// deviceOf reads a user agent. Browsers pretend to be each other: the most
// particular mark comes first, and the one that all copy comes last.
func deviceOf(userAgent string) device {
	browser := first(userAgent, []mark{
		{"EdgA/", "Edge"},
		{"EdgiOS/", "Edge"},
		{"Edg/", "Edge"},
		{"OPR/", "Opera"},
		{"OPiOS/", "Opera"},
		{"Vivaldi/", "Vivaldi"},
		{"SamsungBrowser/", "Samsung Internet"},
		{"DuckDuckGo/", "DuckDuckGo"},
		{"YaBrowser/", "Yandex Browser"},
		{"FxiOS/", "Firefox"},
		{"Firefox/", "Firefox"},
		{"CriOS/", "Chrome"},
		{"HeadlessChrome/", "Chrome"},
		{"Chrome/", "Chrome"},
		{"Safari/", "Safari"},
		{"curl/", "curl"},
	})
	system := first(userAgent, []mark{
		{"iPhone", "iPhone"},
		{"iPad", "iPad"},
		{"Android", "Android"},
		{"Windows", "Windows"},
		{"CrOS", "ChromeOS"},
		{"Macintosh", "macOS"},
		{"FreeBSD", "FreeBSD"},
		{"OpenBSD", "OpenBSD"},
		{"Linux", "Linux"},
	})
	d := device{Handheld: system == "iPhone" || system == "iPad" || system == "Android"}
	switch {
	case browser != "" && system != "":
		d.Name = browser + " on " + system
	case browser != "":
		d.Name = browser
	case system != "":
		d.Name = "Unknown browser on " + system
	default:
		d.Name = "Unknown device"
	}
	return d
}

func first(s string, marks []mark) string {
	for _, m := range marks {
		if strings.Contains(s, m.piece) {
			return m.name
		}
	}
	return ""
}
