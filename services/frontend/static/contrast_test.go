package static_test

import (
	"encoding/hex"
	"math"
	"os"
	"strings"
	"testing"
)

// contrast returns the WCAG 2.2 contrast ratio of two colors. Both must be in the stylesheet.
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	css, err := os.ReadFile("lilypad.css")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{a, b} {
		if !strings.Contains(string(css), c) && c != "#ffffff" {
			t.Errorf("color %s is not in the stylesheet", c)
		}
	}
	high, low := luminance(t, a), luminance(t, b)
	if high < low {
		high, low = low, high
	}
	return (high + 0.05) / (low + 0.05)
}

func luminance(t *testing.T, color string) float64 {
	t.Helper()
	rgb, err := hex.DecodeString(color[1:])
	if err != nil || len(rgb) != 3 {
		t.Fatalf("%s: %v", color, err)
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
