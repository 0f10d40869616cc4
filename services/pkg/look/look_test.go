package look_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"lilypad.example/services/pkg/look"
)

func TestEveryFaultOfABrandIsReported(t *testing.T) {
	good := look.Brand{
		Name: "Pond & Söhne", Logo: "/static/logo-2.svg", Color: "#0A66c2",
		Links: []look.Link{{"Help", "/help"}, {"Imprint", "https://pond.example/imprint?lang=en"}},
	}
	for _, b := range []look.Brand{good, {}} {
		if err := b.Check(); err != nil {
			t.Errorf("%+v: %v, want no fault", b, err)
		}
	}
	bad := look.Brand{
		Name: "two\nlines", Logo: "https://elsewhere.example/logo.svg", Color: "green",
		Links: []look.Link{{"", "/help"}, {"Help", "javascript:alert(1)"}},
	}
	err := bad.Check()
	for _, want := range []string{"brand.name", "brand.logo", "brand.color", "brand.links[0].text", "brand.links[1].url"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one about %s", err, want)
		}
	}
	for _, logo := range []string{"logo.svg", "//elsewhere.example/x", "/a/../b", "/a//b", "/a?b", "/a#b", `/a\b`, "/a b", "/a%2fb", "/\u00e9", "/" + strings.Repeat("a", 300)} {
		if (look.Brand{Logo: logo}).Check() == nil {
			t.Errorf("logo %q is accepted", logo)
		}
	}
	for _, link := range []string{"", "http://pond.example/", "//pond.example", "https://user@pond.example/", "https://", "data:text/html,x", "https://pond.example/\n", " /help"} {
		if (look.Brand{Links: []look.Link{{"x", link}}}).Check() == nil {
			t.Errorf("link %q is accepted", link)
		}
	}
	for _, color := range []string{"#fff", "#12345g", "#1234567", "red;}", "123456"} {
		if (look.Brand{Color: color}).Check() == nil {
			t.Errorf("color %q is accepted", color)
		}
	}
	for _, name := range []string{strings.Repeat("x", 41), "a\u202eb", "\xff", "a\x00"} {
		if (look.Brand{Name: name}).Check() == nil {
			t.Errorf("name %q is accepted", name)
		}
	}
}

func TestASiteTravelsInAHeaderThatIsNotTrusted(t *testing.T) {
	site := look.Site{Brand: look.Brand{Name: "Pond", Logo: "/logo.svg", Color: "#336699", Links: []look.Link{{"Help", "/help"}}}, Home: "/start"}
	value := site.Encode()
	if strings.ContainsAny(value, "\r\n =") {
		t.Errorf("%q is not one token", value)
	}
	if got, err := look.DecodeSite(value); err != nil || fmt.Sprint(got) != fmt.Sprint(site) {
		t.Errorf("%+v, error %v, want %+v", got, err, site)
	}
	if got, err := look.DecodeSite(""); err != nil || fmt.Sprint(got) != fmt.Sprint(look.Site{}) {
		t.Errorf("no header: %+v, error %v, want the zero Site", got, err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	for name, value := range map[string]string{
		"no base64": "?", "no JSON": encode([]byte("x")), "bad color": encode([]byte(`{"color":"red"}`)), "script": encode([]byte(`{"links":[{"text":"x","url":"javascript:x"}]}`)),
		"other home": encode([]byte(`{"home":"//elsewhere.example"}`)), "huge": encode(fmt.Appendf(nil, `{"name":%q}`, strings.Repeat("x", 9000))),
	} {
		if got, err := look.DecodeSite(value); err == nil || got.Name+got.Home+got.Color != "" {
			t.Errorf("%s: %+v, error %v, want an error and nothing", name, got, err)
		}
	}
}

// frame renders a page of the layout alone.
func frame(t *testing.T, site look.Site) string {
	t.Helper()
	var b bytes.Buffer
	if err := look.Template(nil).Execute(&b, look.New(site).Frame("Title")); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

var inline = regexp.MustCompile(`(?s)<style>(.*?)</style>`)

func TestTheStyleOfAPageIsTheOneThatItsPolicyAllows(t *testing.T) {
	for _, site := range []look.Site{{}, {Brand: look.Brand{Color: "#c0ffee"}}} {
		page := frame(t, site)
		style := inline.FindStringSubmatch(page)
		if style == nil {
			t.Fatal("no inline style")
		}
		sum := sha256.Sum256([]byte(style[1]))
		csp := look.New(site).CSP("'self'")
		if want := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(csp, want) {
			t.Errorf("policy %s, want %s", csp, want)
		}
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("policy %s without %s", csp, want)
			}
		}
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "script-src") {
			t.Errorf("policy %s allows too much", csp)
		}
		if len(page) > 20_000 {
			t.Errorf("the layout alone has %d bytes", len(page))
		}
	}
}

func TestABrandIsShownAndEscaped(t *testing.T) {
	page := frame(t, look.Site{Brand: look.Brand{Name: `A <b> & "c"`, Logo: "/logo.svg", Links: []look.Link{{"<i>", "https://pond.example/?a=1&b=2"}}}, Home: "/start"})
	for _, want := range []string{`<span>A &lt;b&gt; &amp; &#34;c&#34;</span>`, `<img src="/logo.svg" alt=""`, `<link rel="icon" href="/logo.svg">`, `href="/start"`, `<a href="https://pond.example/?a=1&amp;b=2">&lt;i&gt;</a>`} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s in %s", want, page)
		}
	}
	if own := frame(t, look.Site{}); !strings.Contains(own, "<span>Lilypad</span>") || !strings.Contains(own, `<img src="data:image/svg&#43;xml;base64,`) || strings.Contains(own, "<ul>") {
		t.Errorf("without a brand: %s, want the product's name and logo and no links", own)
	}
}

var variable = regexp.MustCompile(`--([a-z-]+):(#[0-9a-f]{6})`)

// Whatever color a team chooses, its buttons and links meet the contrast of WCAG 2.2 AA.
func TestEveryColorIsReadable(t *testing.T) {
	colors := []string{"#4ee69c", "#ffffff", "#000000", "#808080", "#777777", "#ff0000", "#ffff00", "#0000ff"}
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		colors = append(colors, fmt.Sprintf("#%06x", random.IntN(1<<24)))
	}
	for _, c := range colors {
		style := inline.FindStringSubmatch(frame(t, look.Site{Brand: look.Brand{Color: c}}))[1]
		v := map[string]string{}
		for _, m := range variable.FindAllStringSubmatch(style[strings.LastIndex(style, ":root"):], -1) {
			v[m[1]] = m[2]
		}
		for _, pair := range [][2]string{
			{v["on-pad"], v["pad"]},
			{v["on-pad"], v["pad-strong"]},
			{v["accent-light"], "#f0f4f7"},
			{v["accent-light"], "#ffffff"},
			{v["accent-dark"], "#1f242d"},
			{v["accent-dark"], "#1d2129"},
			{v["accent-dark"], "#14171d"},
		} {
			if r := contrast(t, pair[0], pair[1]); r < 4.5 {
				t.Errorf("%s: %s on %s has a contrast of %.2f, want at least 4.5", c, pair[0], pair[1], r)
			}
		}
	}
}

// Every pair of text and background colors meets the contrast of WCAG 2.2 AA.
func TestContrastIsEnough(t *testing.T) {
	for _, c := range []struct{ where, text, paper string }{
		{"ink on paper", "#1d2129", "#f0f4f7"},
		{"soft on paper", "#545f70", "#f0f4f7"},
		{"soft on card", "#545f70", "#ffffff"},
		{"link on card", "#0a6640", "#ffffff"},
		{"link on paper", "#0a6640", "#f0f4f7"},
		{"button", "#1d2129", "#4ee69c"},
		{"button under the mouse", "#1d2129", "#2fd487"},
		{"fault on card", "#a31b14", "#ffffff"},
		{"alert", "#a31b14", "#fdecea"},
		{"header", "#c3ccd8", "#1d2129"},
		{"dark ink on card", "#f0f4f7", "#1f242d"},
		{"dark soft on card", "#a8b3c1", "#1f242d"},
		{"dark soft on paper", "#a8b3c1", "#14171d"},
		{"dark link on card", "#4ee69c", "#1f242d"},
		{"dark fault on card", "#ff9d94", "#1f242d"},
		{"dark alert", "#ff9d94", "#3a1d1f"},
	} {
		for _, color := range []string{c.text, c.paper} {
			if !strings.Contains(look.Stylesheet(), color) && color != "#ffffff" {
				t.Errorf("%s: color %s is not in the stylesheet", c.where, color)
			}
		}
		if r := contrast(t, c.text, c.paper); r < 4.5 {
			t.Errorf("%s: contrast %.2f, want at least 4.5", c.where, r)
		}
	}
}

// contrast is the contrast ratio of WCAG 2.2.
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	high, low := luminance(t, a), luminance(t, b)
	if high < low {
		high, low = low, high
	}
	return (high + 0.05) / (low + 0.05)
}

func luminance(t *testing.T, color string) float64 {
	t.Helper()
	rgb, err := hex.DecodeString(strings.TrimPrefix(color, "#"))
	if err != nil || len(rgb) != 3 {
		t.Fatalf("%q: %v", color, err)
	}
	var sum float64
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		c := float64(rgb[i]) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
