# The kind node: a Debian root, Kubernetes, containerd and the CNI plugins that hack/airgap/node-image compiled, and
# kind's own files (entrypoint, units, containerd's configuration) from kind's Go module. The order
# of the steps follows kind's images/base/Dockerfile, which is what `kind create cluster` relies on.
FROM lilypad/node-root
COPY kind/usr/local/bin/ /usr/local/bin/
COPY kind/kind/ /kind/
COPY kind/etc/ /etc/
COPY kubernetes/ /usr/bin/
COPY containerd/ /usr/local/bin/
COPY cni/ /opt/cni/bin/
COPY config/network.conflist /etc/cni/net.d/10-node.conflist
COPY config/manifests/ /kind/manifests/
COPY config/version /kind/version

# systemd starts nothing but the kubelet and containerd; a container has no udev, no initctl, no
# kernel log.
RUN chmod -R a+rX /kind /etc/systemd /etc/containerd /etc/cni \
 && chmod 755 /kind/bin/* /usr/local/bin/* /usr/bin/kube* /opt/cni/bin/* \
 && ln -sf /usr/lib/systemd/systemd /sbin/init \
 && rm -f /etc/systemd/system/*.wants/* \
          /lib/systemd/system/multi-user.target.wants/* \
          /lib/systemd/system/basic.target.wants/* \
          /lib/systemd/system/local-fs.target.wants/* \
          /lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service \
          /lib/systemd/system/sockets.target.wants/*udev* \
          /lib/systemd/system/sockets.target.wants/*initctl* \
 && echo ReadKMsg=no >>/etc/systemd/journald.conf \
 && systemctl enable containerd.service kubelet.service undo-mount-hacks.service \
 && systemctl mask systemd-binfmt.service \
 && mkdir -p /etc/kubernetes/manifests \
 && ctr oci spec \
    | jq '.hooks.createContainer += [{"path": "/kind/bin/mount-product-files.sh"}] | del(.process.rlimits)' \
    >/etc/containerd/cri-base.json

ENV container=docker
STOPSIGNAL SIGRTMIN+3
ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]
