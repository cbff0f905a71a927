//! The operating guide, walked through: each of its commands is given to a real shop in the state that the page describes, and must
//! print what the page prints.
//!
//! A comment `<!-- scene: NAME -->` in the page is where the world moves: [`scenes`] knows what happens there. Ages, moments, names
//! of tasks and traces differ from run to run and are compared by their form.
//!
//! `UPDATE_GUIDE=1 cargo test -p runtime-tests --test operating_guide` writes what is printed today into the page.

mod gate;
mod page;
mod scenes;

use std::path::Path;

use page::{Page, Step, form};
use scenes::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_guide_prints_what_the_page_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide/operating.md");
    let update = std::env::var_os("UPDATE_GUIDE").is_some();
    let mut page = Page::read(&std::fs::read_to_string(&file).expect("the guide"));
    let mut shop = Shop::open(update).await;
    let mut commands = 0;
    for step in page.steps_mut() {
        match step {
            Step::Scene(name) => shop.play(name).await,
            Step::Command { line, output } => {
                let printed = shop.give(line).await;
                commands += 1;
                if update {
                    *output = printed;
                } else {
                    let (said, is) = (form(output), form(&printed));
                    assert!(said == is, "$ {line}\nthe page says:\n{output}\nprinted is:\n{printed}");
                }
            }
            Step::Text(_) => {}
        }
    }
    shop.every_scene_was_played();
    assert!(commands > 15, "a guide without commands proves nothing");
    if update {
        std::fs::write(&file, page.to_string()).expect("the guide can be written");
    }
}
