package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"
)

// figure is a line of the table.
type figure struct {
	name  string
	value string
}

// figures is the table, in the order of measurement.
type figures struct{ all []figure }

func (f *figures) add(name string, digits int, value float64) {
	f.all = append(f.all, figure{name, strconv.FormatFloat(value, 'f', digits, 64)})
}

// value returns a figure by name.
func (f *figures) value(name string) (float64, error) {
	for _, line := range f.all {
		if line.name == name {
			return strconv.ParseFloat(line.value, 64)
		}
	}
	return 0, fmt.Errorf("%s was not measured", name)
}

func (f *figures) print(w io.Writer) error {
	for _, line := range f.all {
		if _, err := fmt.Fprintln(w, line.name, line.value); err != nil {
			return err
		}
	}
	return nil
}

// percentile returns the percentile of sorted values, by nearest rank.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

func medianOf[T any](turns []T, of func(T) float64) float64 {
	values := make([]float64, len(turns))
	for i, t := range turns {
		values[i] = of(t)
	}
	return median(values)
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
