package process

import (
	"slices"

	"golang.org/x/sys/unix"
)

// remote are the file systems behind which there is a program or a machine that may stop answering.
var remote = []int64{
	unix.FUSE_SUPER_MAGIC, unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC,
	unix.AFS_SUPER_MAGIC, unix.AFS_FS_MAGIC, unix.CODA_SUPER_MAGIC, unix.V9FS_MAGIC, unix.CEPH_SUPER_MAGIC,
	unix.OCFS2_SUPER_MAGIC,
	0x0bd00bd0, // Lustre
	0x47504653, // GPFS
	0x19830326, // BeeGFS
}

// far reports whether a file lies on one of those. That there is none is no matter here.
func far(path string) bool {
	var st unix.Statfs_t
	return path != "" && unix.Statfs(path, &st) == nil && slices.Contains(remote, int64(uint32(st.Type)))
}
