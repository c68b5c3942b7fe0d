//! Reading a `multipart/form-data` body: one image or two and some short fields, everything bounded.

use std::sync::Arc;

use axum::{
    body::HttpBody,
    extract::{
        FromRequest, Multipart, Request,
        multipart::{Field, MultipartError},
    },
    http::{StatusCode, header},
};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    State,
    error::Failure,
    settings::Settings,
    values::{Values, printable},
};
use crate::error::{Error, Kind, Result};

/// The fields that are photographs.
const IMAGES: [&str; 3] = ["image", "image1", "image2"];

/// A form as it came. Fields that nobody knows are there, too, and harm nothing.
pub(super) struct Form {
    pub(super) values: Values,
    /// In the order of [`IMAGES`].
    images: [Option<Vec<u8>>; IMAGES.len()],
    /// Held as long as the images are in memory: it bounds how many are.
    _place: OwnedSemaphorePermit,
}

impl Form {
    /// Takes the only image out.
    ///
    /// # Errors
    /// [`Kind::MissingField`] where there is none or an empty one.
    pub(super) fn image(&mut self) -> Result<Vec<u8>> {
        self.take(0)
    }

    /// Takes the two images of a comparison out.
    ///
    /// # Errors
    /// [`Kind::MissingField`] where one is missing or empty.
    pub(super) fn two_images(&mut self) -> Result<(Vec<u8>, Vec<u8>)> {
        Ok((self.take(1)?, self.take(2)?))
    }

    fn take(&mut self, place: usize) -> Result<Vec<u8>> {
        match self.images[place].take() {
            Some(image) if !image.is_empty() => Ok(image),
            _ => {
                Err(Error::new(Kind::MissingField, format!("{} is required: the photograph as a file", IMAGES[place])))
            }
        }
    }
}

impl FromRequest<Arc<State>> for Form {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &Arc<State>) -> Result<Self, Failure> {
        let settings = &state.settings;
        check_length(&request, settings.max_body_bytes)?;
        let place = Arc::clone(&state.uploads)
            .try_acquire_owned()
            .map_err(|_| Failure::new(Kind::Busy, "all places for uploads are taken"))?;
        let mut multipart = Multipart::from_request(request, &()).await.map_err(|_| {
            Failure::new(Kind::MalformedRequest, "the body must be multipart/form-data with a boundary")
        })?;

        let mut form = Self::empty(place);
        let outcome = form.read(&mut multipart, settings).await;
        if outcome.is_err() {
            // A client that is still sending would see a broken connection instead of the reason. The body's limit bounds
            // what is read here, the request's time limit how long.
            while let Ok(Some(mut field)) = multipart.next_field().await {
                while let Ok(Some(_)) = field.chunk().await {}
            }
        }
        outcome?;
        Ok(form)
    }
}

impl Form {
    pub(super) fn empty(place: OwnedSemaphorePermit) -> Self {
        Self { values: Values::default(), images: Default::default(), _place: place }
    }

    pub(super) async fn read(&mut self, multipart: &mut Multipart, settings: &Settings) -> Result<()> {
        let most_image = settings.recognition.max_image_bytes;
        let mut fields = 0;
        while let Some(field) = multipart.next_field().await.map_err(unreadable)? {
            fields += 1;
            if fields > settings.max_fields {
                let message = format!("the form has more than {} fields", settings.max_fields);
                return Err(Error::new(Kind::MalformedRequest, message));
            }
            // A field without a name can be nothing that is looked for.
            let name = field.name().unwrap_or_default().to_owned();
            if let Some(place) = IMAGES.iter().position(|image| *image == name) {
                if self.images[place].is_some() {
                    return Err(Error::new(Kind::InvalidField, format!("{name} may be given only once")));
                }
                self.images[place] = Some(collect(field, most_image).await?.ok_or_else(|| {
                    Error::new(Kind::ImageTooLarge, format!("the image is larger than {most_image} bytes"))
                })?);
            } else {
                let most = settings.max_field_bytes;
                let bytes = collect(field, most).await?.ok_or_else(|| too_long(&name, most))?;
                let text = String::from_utf8(bytes)
                    .map_err(|_| Error::new(Kind::InvalidField, format!("{} must be UTF-8", printable(&name))))?;
                self.values.add(name, text)?;
            }
        }
        Ok(())
    }
}

/// The bytes of a field, or `None` where there are more than `most`.
pub(super) async fn collect(mut field: Field<'_>, most: usize) -> Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(unreadable)? {
        if bytes.len() + chunk.len() > most {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

fn too_long(name: &str, most: usize) -> Error {
    // `metadata` has its own code for whatever is wrong with it.
    let kind = if name == "metadata" { Kind::InvalidMetadata } else { Kind::InvalidField };
    Error::new(kind, format!("{} is longer than {most} bytes", printable(name)))
}

fn unreadable(error: MultipartError) -> Error {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        Error::new(Kind::ImageTooLarge, "the body is larger than allowed")
    } else {
        Error::new(Kind::MalformedRequest, "the body is not a complete multipart/form-data form")
    }
}

/// Refuses a body of unknown length, and one that says it is too long, before a byte of it is read.
fn check_length(request: &Request, most: usize) -> Result<()> {
    // `hyper` has checked the header against RFC 9112; what it made of it is the body's exact size.
    if !request.headers().contains_key(header::CONTENT_LENGTH) {
        return Err(Error::new(Kind::LengthRequired, "the request must have a Content-Length"));
    }
    match request.body().size_hint().exact() {
        Some(length) if length <= most as u64 => Ok(()),
        Some(_) => Err(Error::new(Kind::ImageTooLarge, format!("the body is larger than {most} bytes"))),
        None => Err(Error::new(Kind::LengthRequired, "the request must have a Content-Length")),
    }
}
