//! Reading a `multipart/form-data` body: one image or two and some short fields, everything bounded.

use std::{marker::PhantomData, sync::Arc};

use axum::{
    body::HttpBody,
    extract::{
        FromRequest, Multipart, Request,
        multipart::{Field, MultipartError},
    },
    http::{HeaderMap, StatusCode, header},
};

use super::{
    State,
    auth::{Tenant, operator, still_allowed},
    error::Failure,
    settings::Settings,
    uploads::Place,
    values::Values,
};
use crate::error::{Error, Kind, Result};

/// The fields that a call reads. All others are passed over, whatever is in them.
pub(super) trait Fields {
    /// Those that are photographs.
    const IMAGES: &'static [&'static str] = &["image"];
    /// Those that are text.
    const TEXTS: &'static [&'static str] = &[];
}

/// A form, as far as the call reads it.
pub(super) struct Form<F> {
    pub(super) values: Values,
    /// In the order of [`Fields::IMAGES`].
    images: Vec<Option<Vec<u8>>>,
    /// Held as long as the images are in memory: it bounds how many are.
    _place: Place,
    fields: PhantomData<fn() -> F>,
}

impl<F: Fields> Form<F> {
    /// Takes the image of this name out.
    ///
    /// # Errors
    /// [`Kind::MissingField`] where it is missing or empty.
    pub(super) fn image(&mut self, name: &str) -> Result<Vec<u8>> {
        let place = F::IMAGES.iter().position(|image| *image == name);
        match place.and_then(|place| self.images[place].take()) {
            Some(image) if !image.is_empty() => Ok(image),
            _ => Err(Error::new(Kind::MissingField, format!("{name} is required: the photograph as a file"))),
        }
    }
}

impl<F: Fields> FromRequest<Arc<State>> for Form<F> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &Arc<State>) -> Result<Self, Failure> {
        let settings = &state.settings;
        let operator = operator(&request)?.clone();
        check_encoding(request.headers())?;
        check_length(&request, settings.max_body_bytes)?;
        let tenant = request.extensions().get::<Tenant>();
        let Tenant(tenant) = tenant.ok_or_else(|| Failure::new(Kind::Internal, "a call without its tenant"))?;
        let place = state.uploads.place(tenant)?;
        let mut multipart = Multipart::from_request(request, &()).await.map_err(|_| {
            Failure::new(Kind::MalformedRequest, "the body must be multipart/form-data with a boundary")
        })?;

        let mut form = Self::empty(place);
        let outcome = form.read(&mut multipart, settings).await;
        if outcome.is_err() {
            // A client that is still sending would see a broken connection instead of the reason. The body's limit bounds
            // what is read here, the request's time limit how long.
            while let Ok(Some(field)) = multipart.next_field().await {
                if pass_over(field).await.is_err() {
                    break;
                }
            }
        }
        outcome?;
        still_allowed(state, &operator).await?;
        Ok(form)
    }
}

impl<F: Fields> Form<F> {
    pub(super) fn empty(place: Place) -> Self {
        let images = F::IMAGES.iter().map(|_| None).collect();
        Self { values: Values::default(), images, _place: place, fields: PhantomData }
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
            let name = field.name().unwrap_or_default();
            if let Some(place) = F::IMAGES.iter().position(|image| *image == name) {
                let name = F::IMAGES[place];
                if self.images[place].is_some() {
                    return Err(Error::new(Kind::InvalidField, format!("{name} may be given only once")));
                }
                self.images[place] = Some(collect(field, most_image).await.map_err(unreadable)?.ok_or_else(|| {
                    Error::new(Kind::ImageTooLarge, format!("the image is larger than {most_image} bytes"))
                })?);
            } else if let Some(&name) = F::TEXTS.iter().find(|text| **text == name) {
                let most = settings.max_field_bytes;
                let bytes = collect(field, most).await.map_err(unreadable)?;
                let bytes = bytes.ok_or_else(|| unfit(name, &format!("is longer than {most} bytes")))?;
                let text = String::from_utf8(bytes).map_err(|_| unfit(name, "must be UTF-8"))?;
                self.values.add(name.to_owned(), text)?;
            } else {
                pass_over(field).await.map_err(unreadable)?;
            }
        }
        Ok(())
    }
}

/// Reads a field to its end and keeps nothing of it.
async fn pass_over(mut field: Field<'_>) -> Result<(), MultipartError> {
    while field.chunk().await?.is_some() {}
    Ok(())
}

/// The bytes of a field, which is read to its end, or `None` where there are more than `most`.
pub(super) async fn collect(mut field: Field<'_>, most: usize) -> Result<Option<Vec<u8>>, MultipartError> {
    let mut bytes = Some(Vec::new());
    while let Some(chunk) = field.chunk().await? {
        bytes = bytes.filter(|bytes| bytes.len() + chunk.len() <= most);
        if let Some(bytes) = &mut bytes {
            bytes.extend_from_slice(&chunk);
        }
    }
    Ok(bytes)
}

/// Says what is wrong with a field.
pub(super) fn unfit(name: &str, rule: &str) -> Error {
    // `metadata` has its own code for whatever is wrong with it.
    let kind = if name == "metadata" { Kind::InvalidMetadata } else { Kind::InvalidField };
    Error::new(kind, format!("{name} {rule}"))
}

fn unreadable(error: MultipartError) -> Error {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        Error::new(Kind::ImageTooLarge, "the body is larger than allowed")
    } else {
        Error::new(Kind::MalformedRequest, "the body is not a complete multipart/form-data form")
    }
}

/// Refuses a body that is compressed, which nobody here takes apart: its size would say nothing of what comes out.
///
/// # Errors
/// `UnsupportedMediaType`.
pub(super) fn check_encoding(headers: &HeaderMap) -> Result<()> {
    if headers.get_all(header::CONTENT_ENCODING).iter().all(|encoding| encoding == "identity") {
        return Ok(());
    }
    Err(Error::new(Kind::UnsupportedMediaType, "the body is compressed").help("send it without Content-Encoding"))
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
