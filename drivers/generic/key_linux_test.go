package generic_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/hostsmith/machine/drivers"
)

func TestUnreadableKey(t *testing.T) {
	t.Parallel()
	file := write(t, "id", newKey(t).private)
	if err := os.Chmod(file, 0); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 { // who reads all; the file system is asked as a user who owns nothing
		for dir := filepath.Dir(file); dir != os.TempDir(); dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := syscall.Setfsuid(65534); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = syscall.Setfsuid(0) }()
	}
	if err := check(t, file, false); !errors.Is(err, drivers.ErrKeyFile) || !strings.HasSuffix(err.Error(), " may not be read") {
		t.Errorf("got %v", err)
	}
}
