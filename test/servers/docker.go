//go:build linux

package servers

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// DockerOptions say how the daemon differs from the usual one.
type DockerOptions struct {
	Args []string // more arguments for dockerd, such as --log-driver=local
}

// DockerDaemon is a running dockerd with containerd, apart from any other on the machine: its data are in its own
// directory, and it runs in PID and mount namespaces of its own with /run for itself. So containers, containerd and
// mounts end with it, however it ends; Kill is to its containers as a crash of the host. The PIDs that it reports are
// those of its namespace. Containers have no network of their own (--network none or host).
type DockerDaemon struct {
	*Process
	Socket string // path of the API's unix socket
	Root   string // --data-root; log files are below containers/
	cli    string
}

// Image is the one image that StartDocker makes, from Debian's static busybox.
const Image = "busybox"

// StartDocker starts dockerd with its files in dir, and makes Image. It needs root. The path of dir must be short, as
// that of a socket has 107 bytes at most.
func StartDocker(ctx context.Context, dir string, o DockerOptions) (*DockerDaemon, error) {
	if os.Getuid() != 0 {
		return nil, fmt.Errorf("start dockerd: only root can")
	}
	d := &DockerDaemon{Socket: filepath.Join(dir, "docker.sock"), Root: filepath.Join(dir, "data")}
	if len(d.Socket) > 107 {
		return nil, fmt.Errorf("start dockerd: a socket's path has 107 bytes at most, got %d: %s", len(d.Socket), d.Socket)
	}
	if err := Install(ctx, NameDocker); err != nil {
		return nil, err
	}
	dockerd, err := lookPath("dockerd")
	if err != nil {
		return nil, err
	}
	if d.cli, err = dockerCLI(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	d.Process = &Process{
		Name:   "dockerd",
		Log:    filepath.Join(dir, "dockerd.log"),
		argv:   append([]string{"/bin/sh", "-c", unshared, dockerd, "-H", "unix://" + d.Socket, "--data-root", d.Root}, o.Args...),
		unique: true,
		ready:  func(ctx context.Context) error { _, err := d.Run(ctx, "version"); return err },
	}
	if err := d.start(ctx); err != nil {
		return nil, err
	}
	if err := d.importBusybox(ctx); err != nil {
		d.Kill()
		return nil, err
	}
	return d, nil
}

// unshared runs as PID 1 of the new namespaces. docker-init reaps the shims of containers, which dockerd would leave as
// zombies, and passes SIGTERM on. $0 is dockerd.
const unshared = `mount -t proc proc /proc && mount -t tmpfs -o mode=755 tmpfs /run &&
exec docker-init -- "$0" --exec-root /run/docker --pidfile /run/docker.pid --iptables=false --bridge=none "$@"`

// Run runs the docker command line against the daemon and returns what it printed to standard output, without the last newline.
func (d *DockerDaemon) Run(ctx context.Context, args ...string) (string, error) {
	out, err := run(ctx, d.cli, append([]string{"-H", "unix://" + d.Socket}, args...)...)
	return strings.TrimSuffix(out, "\n"), err
}

// dockerCLI prefers the package's own: one from elsewhere may be too new for the daemon.
func dockerCLI() (string, error) {
	if exists("/usr/bin/docker") {
		return "/usr/bin/docker", nil
	}
	return lookPath("docker")
}

func (d *DockerDaemon) importBusybox(ctx context.Context) error {
	busybox, err := lookPath("busybox")
	if err != nil {
		return err
	}
	applets, err := run(ctx, busybox, "--list")
	if err != nil {
		return err
	}
	root, write := io.Pipe()
	cmd := exec.CommandContext(ctx, d.cli, "-H", "unix://"+d.Socket, "import", "-", Image)
	cmd.Stdin = root
	done := make(chan struct{})
	go func() {
		defer close(done)
		write.CloseWithError(busyboxRoot(write, busybox, strings.Fields(applets)))
	}()
	out, err := cmd.CombinedOutput()
	root.Close() // lets the writer end if the command did not read to the end
	<-done
	if err != nil {
		return fmt.Errorf("import image %s: %w\n%s", Image, err, out)
	}
	return nil
}

// busyboxRoot writes the tar of a root file system with busybox and a link for each applet.
func busyboxRoot(w io.Writer, busybox string, applets []string) error {
	binary, err := os.ReadFile(busybox)
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	put := func(h tar.Header, body []byte) {
		h.Size = int64(len(body))
		if err == nil {
			err = t.WriteHeader(&h)
		}
		if err == nil {
			_, err = t.Write(body)
		}
	}
	for dir, mode := range map[string]int64{"bin/": 0o755, "etc/": 0o755, "tmp/": 0o1777, "root/": 0o700} {
		put(tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: mode}, nil)
	}
	put(tar.Header{Typeflag: tar.TypeReg, Name: "etc/passwd", Mode: 0o644}, []byte("root:x:0:0:root:/root:/bin/sh\n"))
	put(tar.Header{Typeflag: tar.TypeReg, Name: "bin/busybox", Mode: 0o755}, binary)
	for _, name := range applets {
		if name != "busybox" {
			put(tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name, Linkname: "busybox"}, nil)
		}
	}
	if err != nil {
		return err
	}
	return t.Close()
}
