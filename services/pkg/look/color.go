package look

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
)

// ownColor is the color of the product.
const ownColor = "#4ee69c"

// A color is an sRGB color.
type color [3]byte

var errColor = errors.New("look: not a color")

func parseColor(s string) (c color, err error) {
	if len(s) != len(ownColor) || s[0] != '#' {
		return c, errColor
	}
	if _, err := hex.Decode(c[:], []byte(s[1:])); err != nil {
		return c, errColor
	}
	return c, nil
}

func (c color) String() string { return fmt.Sprintf("#%x", c[:]) }

// luminance is the relative luminance of WCAG 2.2.
func (c color) luminance() (sum float64) {
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		v := float64(c[i]) / 255
		if v <= 0.04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		sum += weight * v
	}
	return sum
}

// contrast is the contrast ratio of WCAG 2.2.
func contrast(a, b color) float64 {
	high, low := a.luminance(), b.luminance()
	if high < low {
		high, low = low, high
	}
	return (high + 0.05) / (low + 0.05)
}

// toward returns c mixed with a share of another color.
func (c color) toward(other color, share float64) color {
	for i := range c {
		c[i] = byte(math.Round(float64(c[i])*(1-share) + float64(other[i])*share))
	}
	return c
}

// enough is the contrast of text that WCAG 2.2 AA requires.
const enough = 4.5

// readable returns c, mixed with as little of another color as makes it readable on paper.
func (c color) readable(paper, with color) color {
	for share := 0.0; share < 1; share += 0.05 {
		if m := c.toward(with, share); contrast(m, paper) >= enough {
			return m
		}
	}
	return with
}

// variables returns the CSS variables for a brand with this color.
func (c color) variables() style {
	black, white := color{}, color{0xff, 0xff, 0xff}
	// Of the backgrounds of light pages the darkest, and of those of dark pages the lightest.
	mist, card := color{0xf0, 0xf4, 0xf7}, color{0x1f, 0x24, 0x2d}
	// The text must be readable on both colors of a button, so the second one adds contrast.
	on, strong := black, c.toward(white, 0.15)
	if contrast(white, c) > contrast(black, c) {
		on, strong = white, c.toward(black, 0.15)
	}
	return style(fmt.Sprintf(":root{--pad:%s;--pad-strong:%s;--on-pad:%s;--accent-light:%s;--accent-dark:%s}",
		c, strong, on, c.readable(mist, black), c.readable(card, white)))
}
