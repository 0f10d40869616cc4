package authn_test

import "testing"

func BenchmarkVerify(b *testing.B) {
	s, k := &source{}, newKey(b, "k1")
	s.publish(b, k)
	v := verifier(b.Context(), s)
	token := k.sign(b, header("k1"), claims())
	for b.Loop() {
		if _, err := v.Verify(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}
