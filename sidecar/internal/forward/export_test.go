package forward

// FreshestIsQuiet reports whether the connection that would be used next is still usable.
func (u *Upstream) FreshestIsQuiet() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	idle := u.ends[0].idle
	return len(idle) > 0 && idle[len(idle)-1].quiet()
}

// Busy returns the number of exchanges in progress.
func (u *Upstream) Busy() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.busy
}
