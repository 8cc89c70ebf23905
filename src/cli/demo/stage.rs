//! The server and the four devices, from the first connection to the last goodbye.

use chrono::Utc;

use super::cast::Device;
use super::folder::Folder;
use super::tell::{Line, Role, SERVER, Teller};
use crate::cli::failure::Failure;
use crate::client::config::Config;
use crate::client::roots::Roots;
use crate::server::Server;
use crate::server::auth::Keys;

/// Far longer than the demo.
const TOKEN_GOOD_FOR_MS: i64 = 3_600_000;

const ALICE_PHONE: Role = Role {
    user: "alice",
    label: "Alice's phone",
    name: "alice-phone",
};
const ALICE_LAPTOP: Role = Role {
    user: "alice",
    label: "Alice's laptop",
    name: "alice-laptop",
};
const BOB_PHONE: Role = Role {
    user: "bob",
    label: "Bob's phone",
    name: "bob-phone",
};
const CAROL_PHONE: Role = Role {
    user: "carol",
    label: "Carol's phone",
    name: "carol-phone",
};
/// The devices, as they come on.
pub const ROLES: [Role; 4] = [ALICE_PHONE, ALICE_LAPTOP, BOB_PHONE, CAROL_PHONE];

/// All who take part.
pub struct Stage<'a> {
    /// Where it is told.
    pub tell: &'a mut Teller,
    /// Alice's phone.
    pub phone: Device,
    /// Alice's laptop.
    pub laptop: Device,
    /// Bob's phone.
    pub bob: Device,
    /// Carol's phone.
    pub carol: Device,
}

impl<'a> Stage<'a> {
    /// Opens all devices and waits until they are connected.
    pub async fn set(
        tell: &'a mut Teller,
        server: &Server,
        keys: &Keys,
        folder: &Folder,
    ) -> Result<Self, Failure> {
        let address = server.local_addr();
        tell.line(Line::new(SERVER, format!("listens on {address}")))?;
        let open = |role: Role| -> Result<Device, Failure> {
            let expires_ms = Utc::now().timestamp_millis() + TOKEN_GOOD_FOR_MS;
            let token = keys.sign(role.user, expires_ms).map_err(Failure::new)?;
            Device::open(
                role,
                Config {
                    roots: Roots::Pem(server.certificate_pem_path().to_owned()),
                    token: Some(token),
                    ..Config::new(address.to_string(), role.user, folder.database(role))
                },
            )
        };
        let mut stage = Self {
            tell,
            phone: open(ALICE_PHONE)?,
            laptop: open(ALICE_LAPTOP)?,
            bob: open(BOB_PHONE)?,
            carol: open(CAROL_PHONE)?,
        };
        let Self {
            tell,
            phone,
            laptop,
            bob,
            carol,
        } = &mut stage;
        for device in [phone, laptop, bob, carol] {
            device.connection().await?;
            tell.line(
                Line::new(
                    device.role,
                    format!("is connected; its calls are in {}", device.file_name()),
                )
                .api("connectionStateChanged"),
            )?;
        }
        Ok(stage)
    }

    /// Closes all devices, also after a failure, so that their files are complete.
    pub async fn clear(&mut self) -> Result<(), Failure> {
        let mut result = Ok(());
        for device in [
            &mut self.phone,
            &mut self.laptop,
            &mut self.bob,
            &mut self.carol,
        ] {
            result = result.and(device.switch_off().await);
        }
        result
    }
}
