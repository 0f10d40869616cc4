package forward

// FreshestIsQuiet reports whether the connection that would be used next is still usable.
func (u *Upstream) FreshestIsQuiet() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.idle) > 0 && u.idle[len(u.idle)-1].quiet()
}
