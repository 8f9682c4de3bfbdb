package process

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"slices"
	"strconv"

	"github.com/go-muster/muster/actors/process/stage"
)

// identity is who the process runs as, nil for who we are. A user alone has the groups that su would give it; a group that
// was chosen is the only one. The supervisor's own supplementary groups are not for everybody.
func (c Command) identity() (*stage.Identity, error) {
	switch {
	case c.User == nil && c.Group == nil:
		return nil, nil
	case os.Geteuid() != 0:
		return nil, fmt.Errorf("process: only root may run a rank as another user: %w", fs.ErrPermission)
	case c.User == nil:
		return &stage.Identity{GID: *c.Group}, nil
	case c.Group != nil:
		return &stage.Identity{UID: *c.User, GID: *c.Group}, nil
	}
	return account(*c.User)
}

// account looks a user's groups up.
func account(uid uint32) (*stage.Identity, error) {
	who, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return nil, fmt.Errorf("process: user %d has no account that says its groups, choose a group: %w", uid, err)
	}
	ids, err := who.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("process: the groups of user %d are not known, choose one: %w", uid, err)
	}
	gid, err := number(who.Gid)
	if err != nil {
		return nil, err
	}
	all := &stage.Identity{UID: uid, GID: gid}
	for _, id := range ids {
		g, err := number(id)
		if err != nil {
			return nil, err
		}
		all.Groups = append(all.Groups, g)
	}
	slices.Sort(all.Groups)
	return all, nil
}

func number(id string) (uint32, error) {
	n, err := strconv.ParseUint(id, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("process: %q is no id of a group: %w", id, err)
	}
	return uint32(n), nil
}
