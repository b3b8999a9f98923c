//! Secrets in a real database: they open where they were put, and nowhere else.
#![expect(clippy::unwrap_used, reason = "a test fails where what it relies on is not there")]

mod world;

use sallygate_control::credentials::{
    INSTALLATION, MasterKeys, Place, Plaintext, Rotated, Sealed, Vault, VaultError,
};
use sallygate_control::store::{Access, Store, fetch_optional};
use sallygate_control::{change, values};
use world::{NOW, World};

on_both_databases!(
    a_secret_opens_for_its_owner_in_its_row_only,
    the_plaintext_stands_nowhere_in_the_database,
    a_new_data_key_seals_everything_again,
    a_new_master_key_wraps_every_data_key_again,
    without_its_master_key_nothing_opens_and_nothing_is_made_up,
);

const CANARY: &str = "canary-8f14e45fceea167a5a36dedd4bea2543";

struct Scene {
    store: Store,
    vault: Vault,
    keys: tempfile::TempDir,
    _world: World,
}

impl Scene {
    async fn new(world: World) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let store = world.store().await;
        let master = MasterKeys::create(&keys.path().join("master.key")).unwrap();
        for owner in ["org_a", "org_b"] {
            let sql = "INSERT INTO organisations (id, name, created_at) VALUES ($1, $1, $2)";
            change!(store, |t| { t.execute(sql, values![owner, NOW]).await }).unwrap();
        }
        let target = "INSERT INTO targets (target_key, definition, display_name, enabled, config, \
                      revision, created_at, updated_at) VALUES ('t', 'd', 'T', 1, '{}', 1, 0, 0)";
        change!(store, |t| { t.execute(target, Vec::new()).await }).unwrap();
        let connection = "INSERT INTO connections (id, organisation_id, target_key, method, \
                          display_name, config, status, revision, created_at, updated_at) \
                          VALUES ('icn_' || $1, $1, 't', 'form', 'c', '{}', 'active', 1, 0, 0)";
        for owner in ["org_a", "org_b"] {
            change!(store, |t| { t.execute(connection, values![owner]).await }).unwrap();
        }
        Self { store, vault: Vault::new(master), keys, _world: world }
    }

    async fn keep(&self, owner: &str, id: &str, secret: &str) {
        let (store, plaintext) = (&self.store, Plaintext::new(secret.into()));
        change!(store, |transaction| {
            let sealed = self.vault.seal(transaction, owner, place(id), &plaintext).await?;
            let write = "INSERT INTO credentials (id, organisation_id, connection_id, \
                         secret_type, slot_key, key_version, ciphertext, fingerprint, revision, \
                         created_at, updated_at) VALUES ($1, $2, 'icn_' || $2, 'api_key', $1, \
                         $3, $4, $5, 1, $6, $6)";
            let print = plaintext.fingerprint();
            let values = values![id, owner, sealed.key_version, sealed.ciphertext, print, NOW];
            transaction.execute(write, values).await?;
            Ok::<_, VaultError>(())
        })
        .unwrap();
    }

    async fn sealed(&self, id: &str) -> Sealed {
        let mut transaction = self.store.begin(Access::Read).await.unwrap();
        let find = "SELECT key_version, ciphertext FROM credentials WHERE id = $1";
        let row = fetch_optional(&mut *transaction, find, values![id]).await.unwrap();
        let mut row = row.unwrap();
        Sealed { key_version: row.integer().unwrap(), ciphertext: row.bytes().unwrap() }
    }

    async fn open(&self, owner: &str, id: &str, sealed: &Sealed) -> Result<String, VaultError> {
        let mut transaction = self.store.begin(Access::Read).await.unwrap();
        let opened = self.vault.open(&mut *transaction, owner, place(id), sealed).await?;
        Ok(String::from_utf8(opened.expose().to_vec()).unwrap())
    }
}

fn place(id: &str) -> Place<'_> {
    Place { table: "credentials", row: id, column: "ciphertext" }
}

async fn a_secret_opens_for_its_owner_in_its_row_only(world: World) {
    let scene = Scene::new(world).await;
    scene.keep("org_a", "icr_1", "one").await;
    scene.keep("org_a", "icr_2", "two").await;
    scene.keep("org_b", "icr_3", "three").await;
    let (first, third) = (scene.sealed("icr_1").await, scene.sealed("icr_3").await);
    assert_eq!(scene.open("org_a", "icr_1", &first).await.unwrap(), "one");
    assert_eq!(scene.open("org_b", "icr_3", &third).await.unwrap(), "three");
    for (owner, id, sealed) in [
        ("org_a", "icr_2", &first),
        ("org_b", "icr_1", &first),
        ("org_b", "icr_3", &first),
        ("org_a", "icr_3", &third),
        ("org_none", "icr_1", &first),
        ("org_a", "icr_1", &Sealed { key_version: 2, ..first.clone() }),
        ("org_a", "icr_1", &Sealed { ciphertext: Vec::new(), ..first.clone() }),
    ] {
        let refused = scene.open(owner, id, sealed).await.unwrap_err();
        assert!(matches!(refused, VaultError::DoesNotOpen), "{owner} {id}: {refused:?}");
    }
}

async fn the_plaintext_stands_nowhere_in_the_database(world: World) {
    let files = match &world.location {
        sallygate_control::store::Location::Sqlite(path) => path.parent().map(ToOwned::to_owned),
        sallygate_control::store::Location::Postgres(_) => None,
    };
    let scene = Scene::new(world).await;
    scene.keep("org_a", "icr_1", CANARY).await;
    let mut transaction = scene.store.begin(Access::Read).await.unwrap();
    let find = "SELECT fingerprint FROM credentials";
    let row = fetch_optional(&mut *transaction, find, Vec::new()).await.unwrap();
    let fingerprint = row.unwrap().text().unwrap();
    assert!(fingerprint.starts_with("…2543 "), "{fingerprint}");
    let sealed = scene.sealed("icr_1").await;
    assert!(!contains(&sealed.ciphertext, CANARY.as_bytes()));
    for file in files.iter().flat_map(|path| std::fs::read_dir(path).unwrap().flatten()) {
        let content = std::fs::read(file.path()).unwrap();
        assert!(!contains(&content, CANARY.as_bytes()), "{}", file.path().display());
    }
}

fn contains(content: &[u8], wanted: &[u8]) -> bool {
    content.windows(wanted.len()).any(|window| window == wanted)
}

async fn a_new_data_key_seals_everything_again(world: World) {
    let scene = Scene::new(world).await;
    for at in 0..70 {
        scene.keep("org_a", &format!("icr_{at:03}"), &format!("secret {at}")).await;
    }
    scene.keep("org_b", "icr_b", "other").await;
    let before = scene.sealed("icr_000").await;
    let rotated = scene.vault.rotate_data_key(&scene.store, "org_a", NOW).await.unwrap();
    assert_eq!(rotated, Rotated { data_keys: 1, secrets: 70 });
    for at in 0..70 {
        let id = format!("icr_{at:03}");
        let sealed = scene.sealed(&id).await;
        assert_eq!(sealed.key_version, 2);
        assert_eq!(scene.open("org_a", &id, &sealed).await.unwrap(), format!("secret {at}"));
    }
    assert_eq!(scene.sealed("icr_b").await.key_version, 1, "another owner's key stays");
    assert_ne!(scene.sealed("icr_000").await, before);
    // A rotation that was killed is finished by asking again; there is nothing left here.
    let again = scene.vault.reseal(&scene.store, "org_a", 2).await.unwrap();
    assert_eq!(again.secrets, 0);
    let nothing = scene.vault.rotate_data_key(&scene.store, INSTALLATION, NOW).await.unwrap();
    assert_eq!(nothing.secrets, 0);
}

async fn a_new_master_key_wraps_every_data_key_again(world: World) {
    let mut scene = Scene::new(world).await;
    scene.keep("org_a", "icr_1", "one").await;
    scene.keep("org_b", "icr_2", "two").await;
    let path = scene.keys.path().join("master.key");
    scene.vault = Vault::new(MasterKeys::add_version(&path).unwrap());
    assert_eq!(scene.vault.rewrap(&scene.store).await.unwrap().data_keys, 2);
    assert_eq!(scene.vault.rewrap(&scene.store).await.unwrap().data_keys, 0);
    // The old version may go now.
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.lines().last().unwrap()).unwrap();
    scene.vault = Vault::new(MasterKeys::read(&path).unwrap());
    let sealed = scene.sealed("icr_1").await;
    assert_eq!(scene.open("org_a", "icr_1", &sealed).await.unwrap(), "one");
}

async fn without_its_master_key_nothing_opens_and_nothing_is_made_up(world: World) {
    let mut scene = Scene::new(world).await;
    scene.keep("org_a", "icr_1", "one").await;
    let sealed = scene.sealed("icr_1").await;
    let other = scene.keys.path().join("other.key");
    scene.vault = Vault::new(MasterKeys::create(&other).unwrap());
    let refused = scene.open("org_a", "icr_1", &sealed).await.unwrap_err();
    assert_eq!(refused.code(), "secret_does_not_open");
    // Nor does it seal for an owner whose data key it cannot open.
    let mut transaction = scene.store.begin(Access::Write).await.unwrap();
    let secret = Plaintext::new(b"new".to_vec());
    let sealed_again = scene.vault.seal(&mut *transaction, "org_a", place("icr_2"), &secret).await;
    assert!(matches!(sealed_again, Err(VaultError::DoesNotOpen)), "{sealed_again:?}");
    drop(transaction);
    MasterKeys::add_version(&other).unwrap();
    let text = std::fs::read_to_string(&other).unwrap();
    std::fs::write(&other, text.lines().last().unwrap()).unwrap();
    scene.vault = Vault::new(MasterKeys::read(&other).unwrap());
    let refused = scene.open("org_a", "icr_1", &sealed).await.unwrap_err();
    assert_eq!(refused.code(), "vault_sealed");
}
