package bundle

import (
	"context"
	"fmt"
)

// WriteDir writes a bundle as a folder. It appears whole or not at all. An empty folder at path is filled; one that
// holds the very same bundle is left as it is; any other is an *ExistsError unless o.Force and it holds a bundle.
func WriteDir(ctx context.Context, path string, o Output) error {
	return fmt.Errorf("writing %q: folder output is not there yet", path)
}
