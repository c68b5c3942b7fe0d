//! Items in a ZIP archive: a list of them, which comes first, and their photographs, in whatever order.
//!
//! The archive is read as it arrives, so the list of contents at its end is never looked at: what a file is called and how it is
//! compressed is taken from its own header. Memory holds the list and three photographs: the one that is read, the one that waits and the
//! one that is worked on.

use std::{collections::HashMap, io};

use async_zip::{
    base::read::stream::{Ready, ZipFileReader},
    error::ZipError,
};
use axum::body::{Body, Bytes};
use futures_util::{StreamExt as _, stream::BoxStream};
use tokio::{
    io::AsyncReadExt as _,
    sync::mpsc::{Receiver, Sender, channel},
    time::timeout,
};
use tokio_util::{
    compat::{Compat, FuturesAsyncReadCompatExt as _, TokioAsyncReadCompatExt as _},
    io::StreamReader,
};

use super::{Item, check_image, json, too_large, too_many};
use crate::{
    api::{settings::Settings, values::Values},
    error::{Error, Kind, Result},
};

/// The file that says whose the others are: a line for each.
const LIST: &str = "items.ndjson";

/// The longest list, in bytes.
const LONGEST_LIST: usize = 32 << 20;

/// What Apple's archives hold beside each file.
const APPLES: &str = "__MACOSX/";

/// A file that is too long is inflated to its end, to be thrown away, up to so many times what is allowed: a few hundred bytes can
/// be made to inflate for hours.
const MOST_INFLATED: u64 = 16;

/// How many characters of a file's name are told back.
const TOLD_OF_A_NAME: usize = 80;

type Source = StreamReader<BoxStream<'static, io::Result<Bytes>>, Bytes>;
type Archive<'a> = ZipFileReader<Ready<Compat<&'a mut Source>>>;

/// Reads the items of the archive that is the body, on a task of its own, which ends where nobody takes them any more. Where it cannot be
/// read any further, that is the last that comes. What is behind the files, the archive's own list of them, is left to the server.
pub(in crate::api) fn open(settings: &Settings, body: Body) -> Receiver<Result<Item>> {
    let (items, taken) = channel(1);
    let settings = settings.clone();
    tokio::spawn(async move {
        let mut source = StreamReader::new(bounded(body, settings.max_batch_bytes));
        if let Err(error) = read(&settings, &mut source, &items).await {
            // Who has gone needs not be told.
            let _ = items.send(Err(error)).await;
        }
    });
    taken
}

/// The body, broken off where it has more than `most` bytes.
fn bounded(body: Body, most: u64) -> BoxStream<'static, io::Result<Bytes>> {
    let mut so_far = 0;
    let chunks = body.into_data_stream().map(move |chunk| {
        let chunk = chunk.map_err(io::Error::other)?;
        so_far += chunk.len() as u64;
        if so_far > most {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("the body has more than {most} bytes")));
        }
        Ok(chunk)
    });
    chunks.boxed()
}

/// Reads the list, then file after file, and gives on what the list names. Files that it does not name are passed over.
async fn read(settings: &Settings, source: &mut Source, items: &Sender<Result<Item>>) -> Result<()> {
    let mut archive = ZipFileReader::new(source.compat());
    let mut list = None;
    loop {
        let most = if list.is_none() { LONGEST_LIST } else { settings.recognition.max_image_bytes };
        let next = timeout(settings.request_timeout(), next(archive, most));
        let Some((file, rest)) = next.await.unwrap_or_else(|_| Err(slow()))? else { break };
        archive = rest;
        if file.name.ends_with('/') || file.name.starts_with(APPLES) {
            continue;
        }
        let Some(list) = &mut list else {
            let (known, failing) = List::read(settings, file)?;
            list = Some(known);
            if !give(items, failing).await {
                return Ok(());
            }
            continue;
        };
        let Some((place, values)) = list.take(&file.name) else { continue };
        let image =
            file.bytes.and_then(|bytes| bytes.map_or_else(|| Err(too_large(settings)), |b| check_image(b, settings)));
        if !give(items, [Item { place: Some(place), values: Ok(values), image }]).await {
            return Ok(());
        }
    }
    give(items, list.ok_or_else(|| no_list(None))?.missing()).await;
    Ok(())
}

/// Whether anybody took them.
async fn give(items: &Sender<Result<Item>>, these: impl IntoIterator<Item = Item>) -> bool {
    for item in these {
        if items.send(Ok(item)).await.is_err() {
            return false;
        }
    }
    true
}

/// A file of the archive.
struct File {
    name: String,
    /// `None` where there are more than were asked for; an error where they are not what they were when they were packed.
    bytes: Result<Option<Vec<u8>>>,
}

/// The next file, of which at most `most` bytes are wanted, and what is behind it; `None` behind the last.
async fn next(archive: Archive<'_>, most: usize) -> Result<Option<(File, Archive<'_>)>> {
    let Some(mut entry) = archive.next_with_entry().await.map_err(broken)? else { return Ok(None) };
    let reader = entry.reader_mut();
    let name = String::from_utf8_lossy(reader.entry().filename().as_bytes()).into_owned();
    // Nought where it was not known when the header was written. Pictures that are damaged are found to be when they are decoded.
    let checksum = reader.entry().crc32();
    let mut bytes = Vec::new();
    let inflated = (&mut *reader).compat().take(most as u64 + 1).read_to_end(&mut bytes).await;
    inflated.map_err(|error| broken(error.into()))?;
    let bytes = if bytes.len() > most {
        drop(bytes);
        let limit = most as u64 * MOST_INFLATED;
        let thrown_away = tokio::io::copy(&mut (&mut *reader).compat().take(limit), &mut tokio::io::sink()).await;
        if thrown_away.map_err(|error| broken(error.into()))? == limit {
            let message = format!("the file '{}' of the archive is far larger than {most} bytes", told(&name));
            return Err(Error::new(Kind::TooLarge, message));
        }
        Ok(None)
    } else if checksum != 0 && reader.compute_hash() != checksum {
        let message = format!("the file '{}' of the archive is damaged: its checksum is another", told(&name));
        Err(Error::new(Kind::ImageUndecodable, message))
    } else {
        Ok(Some(bytes))
    };
    let archive = entry.done().await.map_err(broken)?;
    Ok(Some((File { name, bytes }, archive)))
}

/// Whose the photographs are.
struct List {
    /// The folder in the archive in which the list lies, with its `/`: names are meant from there.
    folder: String,
    /// By name: the place in the list, and what it says.
    items: HashMap<String, (u64, Values)>,
}

impl List {
    /// Reads the file, which must be the list. Gives also the items that fail already: which cannot be read, or name a file that another
    /// has named.
    ///
    /// # Errors
    /// `MalformedRequest` where it is another file or damaged; `TooLarge` where the list is too long.
    fn read(settings: &Settings, file: File) -> Result<(Self, Vec<Item>)> {
        let Some(folder) = file.name.strip_suffix(LIST).filter(|folder| folder.is_empty() || folder.ends_with('/'))
        else {
            return Err(no_list(Some(&file.name)));
        };
        let folder = folder.to_owned();
        let bytes = file.bytes.map_err(|error| Error::new(Kind::MalformedRequest, error.message()))?;
        let bytes = bytes.ok_or_else(|| {
            Error::new(Kind::TooLarge, format!("{LIST} has more than {LONGEST_LIST} bytes"))
                .help("send several archives")
        })?;
        let (most, longest) = (settings.max_batch_items, settings.max_field_bytes);
        let (mut items, mut failing) = (HashMap::<String, (u64, Values)>::new(), Vec::new());
        let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
        for (place, line) in (0..).zip(lines) {
            if place == most {
                return Err(too_many(most));
            }
            let read = if line.len() > longest {
                Err(Error::new(Kind::InvalidField, format!("the line is longer than {longest} bytes")))
            } else {
                json::with_file(line)
            };
            let error = match read {
                Ok((name, values)) if !items.contains_key(&name) => {
                    items.insert(name, (place, values));
                    continue;
                }
                Ok((name, _)) => {
                    Error::new(Kind::InvalidField, format!("the file '{}' is named by another line, too", told(&name)))
                }
                Err(error) => error,
            };
            failing.push(Item { place: Some(place), ..Item::unreadable(error) });
        }
        Ok((Self { folder, items }, failing))
    }

    /// What the list says of the file, once.
    fn take(&mut self, name: &str) -> Option<(u64, Values)> {
        self.items.remove(name.strip_prefix(self.folder.as_str())?)
    }

    /// The items whose photographs did not come, in the order of the list.
    fn missing(self) -> Vec<Item> {
        let mut left: Vec<_> = self.items.into_iter().collect();
        left.sort_by_key(|(_, (place, _))| *place);
        let missing = left.into_iter().map(|(name, (place, values))| {
            let message = format!("image is required: there is no file '{}' in the archive", told(&name));
            Item { place: Some(place), values: Ok(values), image: Err(Error::new(Kind::MissingField, message)) }
        });
        missing.collect()
    }
}

fn told(name: &str) -> String {
    name.chars().take(TOLD_OF_A_NAME).map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

fn no_list(instead: Option<&str>) -> Error {
    let found = instead.map_or("there is none".to_owned(), |name| format!("it begins with '{}'", told(name)));
    Error::new(Kind::MalformedRequest, format!("the archive must begin with the file {LIST}: {found}"))
        .help(format!("name it first: zip batch.zip {LIST} *.jpg"))
}

fn slow() -> Error {
    Error::new(Kind::RequestTimeout, "the next file took too long to arrive")
}

fn broken(error: ZipError) -> Error {
    match error {
        ZipError::UpstreamReadError(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            Error::new(Kind::TooLarge, error.to_string())
        }
        ZipError::FeatureNotSupported(_) | ZipError::CompressionNotSupported(_) => {
            Error::new(Kind::MalformedRequest, format!("the archive is of a kind that is not read here: {error}")).help(
                "pack it with Deflate or without compression, without a password, into a file rather than into a pipe",
            )
        }
        _ => Error::new(Kind::MalformedRequest, "the body is not a complete ZIP archive"),
    }
}
