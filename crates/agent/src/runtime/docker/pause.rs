//! The program that does nothing, and the image that it is in: its container holds the namespaces that a task's containers share.
//! No registry has it. It is made here, of instructions that are written out below, and given to Docker.
//!
//! The program ignores the ends of its children, so that the kernel buries them where the containers share its process ids, and
//! sleeps until SIGTERM or SIGINT. In C:
//!
//! ```c
//! rt_sigaction(SIGCHLD, {SIG_IGN}, NULL, 8);
//! rt_sigprocmask(SIG_BLOCK, {SIGINT, SIGTERM}, NULL, 8);
//! while (rt_sigtimedwait({SIGINT, SIGTERM}, NULL, NULL, 8) < 0);
//! exit(0);
//! ```

use serde_json::json;
use sha2::{Digest, Sha256};

/// For x86-64.
const X86_64: [u8; 88] = [
    0xb8, 0x0d, 0x00, 0x00, 0x00, // mov eax, 13 (rt_sigaction)
    0xbf, 0x11, 0x00, 0x00, 0x00, // mov edi, 17 (SIGCHLD)
    0x48, 0x8d, 0x35, 0x47, 0x00, 0x00, 0x00, // lea rsi, [action]
    0x31, 0xd2, // xor edx, edx
    0x41, 0xba, 0x08, 0x00, 0x00, 0x00, // mov r10d, 8
    0x0f, 0x05, // syscall
    0xb8, 0x0e, 0x00, 0x00, 0x00, // mov eax, 14 (rt_sigprocmask)
    0x31, 0xff, // xor edi, edi (SIG_BLOCK)
    0x48, 0x8d, 0x35, 0x4f, 0x00, 0x00, 0x00, // lea rsi, [signals]
    0x31, 0xd2, // xor edx, edx
    0x41, 0xba, 0x08, 0x00, 0x00, 0x00, // mov r10d, 8
    0x0f, 0x05, // syscall
    0xb8, 0x80, 0x00, 0x00, 0x00, // wait: mov eax, 128 (rt_sigtimedwait)
    0x48, 0x8d, 0x3d, 0x39, 0x00, 0x00, 0x00, // lea rdi, [signals]
    0x31, 0xf6, // xor esi, esi
    0x31, 0xd2, // xor edx, edx
    0x41, 0xba, 0x08, 0x00, 0x00, 0x00, // mov r10d, 8
    0x0f, 0x05, // syscall
    0x85, 0xc0, // test eax, eax
    0x78, 0xe4, // js wait
    0xb8, 0x3c, 0x00, 0x00, 0x00, // mov eax, 60 (exit)
    0x31, 0xff, // xor edi, edi
    0x0f, 0x05, // syscall
];

/// For 64-bit Arm.
const AARCH64: [u32; 22] = [
    0xd280_10c8, // mov x8, 134 (rt_sigaction)
    0xd280_0220, // mov x0, 17 (SIGCHLD)
    0x1000_0281, // adr x1, action
    0xd280_0002, // mov x2, 0
    0xd280_0103, // mov x3, 8
    0xd400_0001, // svc 0
    0xd280_10e8, // mov x8, 135 (rt_sigprocmask)
    0xd280_0000, // mov x0, 0 (SIG_BLOCK)
    0x1000_02c1, // adr x1, signals
    0xd280_0002, // mov x2, 0
    0xd280_0103, // mov x3, 8
    0xd400_0001, // svc 0
    0xd280_1128, // wait: mov x8, 137 (rt_sigtimedwait)
    0x1000_0220, // adr x0, signals
    0xd280_0001, // mov x1, 0
    0xd280_0002, // mov x2, 0
    0xd280_0103, // mov x3, 8
    0xd400_0001, // svc 0
    0x37ff_ff40, // tbnz w0, 31, wait
    0xd280_0ba8, // mov x8, 93 (exit)
    0xd280_0000, // mov x0, 0
    0xd400_0001, // svc 0
];

/// What follows the instructions: `action` (the handler SIG_IGN, no flags, no restorer, no mask) and `signals` (2 and 15).
const DATA: [u64; 5] = [1, 0, 0, 0, 1 << 1 | 1 << 14];

/// Where the program lies in memory.
const BASE: u64 = 0x40_0000;
/// An ELF header and one program header.
const HEADERS: u64 = 64 + 56;
const BLOCK: usize = 512;
/// The program's path in its image.
const PATH: &str = "pause";

/// The image, ready to be loaded.
#[derive(Debug)]
pub(super) struct PauseImage {
    /// Its tag. It follows from what is in the image: another version of this program has another.
    pub(super) reference: String,
    /// As `docker save` would write it.
    pub(super) archive: Vec<u8>,
}

/// The image for this machine; `None` on a processor that it is not written for.
pub(super) fn image() -> Option<PauseImage> {
    let (architecture, program) = match std::env::consts::ARCH {
        "x86_64" => ("amd64", elf(62, &X86_64)),
        "aarch64" => {
            let code: Vec<u8> = AARCH64.iter().flat_map(|word| word.to_le_bytes()).collect();
            ("arm64", elf(183, &code))
        }
        _ => return None,
    };
    Some(image_of(architecture, &program))
}

fn image_of(architecture: &str, program: &[u8]) -> PauseImage {
    let layer = tar(&[(PATH, 0o755, program)]);
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": {"Entrypoint": [format!("/{PATH}")]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", digest(&layer))]},
        "history": [{"created": "1970-01-01T00:00:00Z"}],
    });
    let config = config.to_string().into_bytes();
    let id = digest(&config);
    let reference = format!("trireme/pause:{}", &id[..12]);
    let name = format!("{id}.json");
    let manifest = json!([{"Config": name, "RepoTags": [reference], "Layers": ["layer.tar"]}]).to_string();
    let archive = tar(&[
        (&name, 0o644, &config),
        ("layer.tar", 0o644, &layer),
        ("manifest.json", 0o644, manifest.as_bytes()),
    ]);
    PauseImage { reference, archive }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A static program of these instructions, all of which one segment holds (System V ABI: ELF-64).
fn elf(machine: u16, code: &[u8]) -> Vec<u8> {
    let data: Vec<u8> = DATA.iter().flat_map(|word| word.to_le_bytes()).collect();
    let size = HEADERS + (code.len() + data.len()) as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let half = |file: &mut Vec<u8>, values: &[u16]| {
        values.iter().for_each(|value| file.extend(value.to_le_bytes()));
    };
    // An executable; where it begins; the program header follows, and there are no sections.
    half(&mut file, &[2, machine]);
    file.extend(1_u32.to_le_bytes());
    [BASE + HEADERS, 64, 0].iter().for_each(|value| file.extend(value.to_le_bytes()));
    file.extend(0_u32.to_le_bytes());
    half(&mut file, &[64, 56, 1, 64, 0, 0]);
    // To be loaded whole, readable and executable.
    [1_u32, 5].iter().for_each(|value| file.extend(value.to_le_bytes()));
    [0, BASE, BASE, size, size, 0x1000].iter().for_each(|value| file.extend(value.to_le_bytes()));
    file.extend(code);
    file.extend(data);
    file
}

/// Files as POSIX's ustar has them, the same bytes each time.
fn tar(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, mode, content) in files {
        let mut header = [0_u8; BLOCK];
        let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, name);
        put(100, &format!("{mode:07o}"));
        put(108, "0000000");
        put(116, "0000000");
        put(124, &format!("{:011o}", content.len()));
        put(136, "00000000000");
        // The sum is taken with blanks in its own place.
        put(148, "        ");
        put(156, "0");
        put(257, "ustar");
        put(263, "00");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend(header);
        archive.extend(*content);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command};

    use super::*;

    /// A process that does not outlive its test.
    struct Guard(Child);

    impl Drop for Guard {
        fn drop(&mut self) {
            let _ended_already = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn run(program: &[u8]) -> (tempfile::TempDir, Guard) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pause");
        std::fs::write(&path, program).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let child = Command::new(&path).spawn().unwrap();
        (folder, Guard(child))
    }

    /// Whether it sleeps and ignores the ends of its children, else what the kernel says of it.
    fn sleeps(child: &Child) -> Result<(), String> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let ignored = value("SigIgn:").and_then(|bits| u64::from_str_radix(bits, 16).ok());
        let asleep = value("State:") == Some("S (sleeping)");
        if asleep && ignored.is_some_and(|bits| bits & 1 << 16 != 0) { Ok(()) } else { Err(status) }
    }

    #[cfg(target_arch = "x86_64")]
    #[tokio::test]
    async fn the_program_sleeps_until_it_is_told_to_end() {
        let (_folder, mut process) = run(&elf(62, &X86_64));
        let limit = std::time::Duration::from_secs(10);
        trireme_testkit::wait_for("the program sleeps", limit, || async { sleeps(&process.0) }).await;
        let told = Command::new("kill").arg(process.0.id().to_string()).status().unwrap();
        assert!(told.success());
        let status = process.0.wait().unwrap();
        assert_eq!((status.code(), status.signal()), (Some(0), None));
    }

    #[test]
    fn both_programs_are_one_segment_with_their_data_behind_the_code() {
        let arm: Vec<u8> = AARCH64.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(arm.len(), X86_64.len(), "the data lie at the same place");
        for (machine, code) in [(62_u16, X86_64.to_vec()), (183, arm)] {
            let file = elf(machine, &code);
            assert_eq!(file.len(), 120 + 88 + 40);
            assert_eq!(u16::from_le_bytes([file[18], file[19]]), machine);
            assert_eq!(&file[120..208], &code[..]);
            assert_eq!(&file[208 + 32..], &0x4002_u64.to_le_bytes());
        }
    }

    #[test]
    fn the_same_image_is_made_each_time() {
        let (one, two) = (image_of("amd64", b"a"), image_of("amd64", b"a"));
        assert_eq!((&one.reference, &one.archive), (&two.reference, &two.archive));
        assert_ne!(one.reference, image_of("amd64", b"b").reference);
        assert_eq!(one.archive.len() % BLOCK, 0);
    }
}
