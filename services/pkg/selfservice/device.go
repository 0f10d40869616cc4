package selfservice

import "strings"

// A device is the browser and system that a user agent names. User agents are untrusted text and
// never shown: they only select one of these names.
type device struct {
	Name string
	// Handheld selects the icon.
	Handheld bool
}

// A mark is a substring of a user agent, and the name it stands for.
type mark struct{ piece, name string }

// deviceOf parses a user agent. Browsers imitate each other, so the most specific mark is checked
// first and the most widely copied one last.
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
